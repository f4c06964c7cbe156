// Plants one bug at a time in the contracts and runs the tests against it. Every bug must be caught; otherwise passing tests say
// little about the real contracts. The sources and artifacts are not changed.
//
//   cargo test --release -p causeway-contracts -p causeway-unify --no-run && node planted-bugs.mjs [PART OF A NAME...]
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { compile, readSources } from "./compile.mjs";

const registry = "CheckpointRegistry.sol";
const vault = "PegVault.sol";
const bugs = [
  ["quorum of exactly two thirds", registry, "power * 3 > total * 2", "power * 3 >= total * 2"],
  ["quorum of a half", registry, "power * 3 > total * 2", "power * 2 > total"],
  ["quorum counts members instead of power", registry, "power * 3 > total * 2", "offset / SIGNATURE * 3 > count * 2"],
  ["quorum rounded up", registry, "power * 3 > total * 2", "power > (total * 2 + 2) / 3"],
  ["quorum rounded down before doubling", registry, "power * 3 > total * 2", "power > total / 3 * 2"],
  ["quorum of products in 64 bits", registry, "power * 3 > total * 2", "uint64(power * 3) > uint64(total * 2)"],
  ["quorum of a total in 64 bits", registry, "power * 3 > total * 2", "power * 3 > uint256(uint64(total)) * 2"],
  ["high s accepted", registry, "s > HALF_ORDER || ", ""],
  ["any v accepted as 28", registry, "(v != 27 && v != 28)) return 0;\n        return uint160(ecrecover(digest, v,", "false) return 0;\n        return uint160(ecrecover(digest, v == 27 ? 27 : 28,"],
  ["signer not compared", registry, "recover(digest, signatures, offset) != member >> 64", "recover(digest, signatures, offset) == 0"],
  ["set not compared with its commitment", registry, "if (keccak256(validators) != commitment)", "if (false)"],
  ["set's order unchecked", registry, " || rank >= previous", ""],
  ["members without power", registry, " || power == 0", ""],
  ["zero address as a member", registry, "validator == 0 || ", ""],
  ["empty set", registry, "count == 0 || ", ""],
  ["signer outside the set", registry, "if (count < MAX_VALIDATORS && signers >> count != 0) revert UnknownSigner();", ""],
  ["same number again", registry, "c.number <= last.number", "c.number < last.number"],
  ["older number", registry, "if (c.number <= last.number) revert NumberNotNewer(last.number, c.number);", "if (c.number == 0) revert NumberNotNewer(last.number, c.number);"],
  ["height need not increase", registry, "c.height <= last.height", "c.height < last.height"],
  ["withdrawal count may fall", registry, "c.withdrawalCount < last.withdrawalCount || ", ""],
  ["count beyond the tree", registry, " || c.withdrawalCount > type(uint32).max", ""],
  ["zero withdrawal root", registry, "c.withdrawalRoot == 0 || ", ""],
  ["zero state root", registry, " || c.stateRoot == 0", ""],
  ["digest chain unchecked", registry, "c.prevDigest != latestDigest", "false"],
  ["deposit history unchecked", registry, "if (actual != acc)", "if (false)"],
  ["later deposits' count not added", registry, "        nonce += uint64(laterDeposits.length);\n", ""],
  ["unknown history taken for an empty one", registry, "if (actual == 0) revert UnknownDepositHistory(nonce);", ""],
  ["empty history needs a proof", registry, "if (nonce != 0) {", "{"],
  ["history linked without proof", registry, "        requireDepositHistory(nonce, acc, laterDeposits);\n        linkedAcc", "        laterDeposits; linkedAcc"],
  ["links are not stored", registry, "        linkedAcc[nonce] = acc;\n", ""],
  ["signatures all read from the first place", registry, "                offset += SIGNATURE;\n", ""],
  ["power of members without a signature counted", registry, "                if (!signed) continue;\n", ""],
  ["set of the previous epoch still accepted", registry, "c.epoch != last.epoch && ", "c.epoch + 1 != last.epoch && c.epoch != last.epoch && "],
  ["registry's epoch never advances", registry, "latest = Latest(c.number, c.height, c.withdrawalCount, c.epoch);", "latest = Latest(c.number, c.height, c.withdrawalCount, last.epoch);"],
  ["any epoch with a set", registry, "if (c.epoch != last.epoch && c.epoch != last.epoch + 1) revert UnknownEpoch(c.epoch);", ""],
  ["announced set may change", registry, "if (known != 0) revert ConflictingNextSet(known, commitment);", ""],
  ["announced set forgotten", registry, "        validatorSetOf[epoch] = commitment;\n        emit ValidatorSetCommitted(epoch, commitment);\n    }\n\n    /// @dev Checks", "        emit ValidatorSetCommitted(epoch, commitment);\n    }\n\n    /// @dev Checks"],
  ["chain id not in the domain", registry, "block.chainid, address(this)", "uint256(31337), address(this)"],
  ["registry not in the domain", registry, "block.chainid, address(this)", "block.chainid, address(0)"],
  ["genesis not in the domain", registry, "address(this), genesisHash", "address(this), bytes32(0)"],
  ["claim twice", vault, "if (bits & bit != 0) revert AlreadyClaimed(w.index);", ""],
  ["nullifiers of one word collide with the next", vault, "w.index >> 8", "w.index >> 9"],
  ["guard against re-entry removed", vault, "if (entered) revert Reentered();", ""],
  ["guard is never released", vault, "        entered = false;\n", ""],
  ["unknown checkpoint", vault, "if (root == 0) revert UnknownCheckpoint(checkpoint);", ""],
  ["index unbounded", vault, "if (w.index >= count) revert IndexOutOfRange(w.index, count);", ""],
  ["index bounded one too far", vault, "w.index >= count", "w.index > count"],
  ["proof unchecked", vault, "if (rootOf(withdrawalLeaf(w), w.index, proof) != root)", "if (false)"],
  ["leaf hashed once", vault, "keccak256(bytes.concat(keccak256(abi.encode(WITHDRAWAL_TYPEHASH, w))))", "keccak256(abi.encode(WITHDRAWAL_TYPEHASH, w))"],
  ["siblings on the wrong side", vault, "shl(5, and(shr(level, index), 1))", "shl(5, and(not(shr(level, index)), 1))"],
  ["longer proofs", vault, "if (proof.length > 32) revert InvalidProof();", ""],
  ["delay ignored", vault, "if (block.timestamp < notBefore)", "if (false)"],
  ["delay one second short", vault, "block.timestamp < notBefore", "block.timestamp + 1 < notBefore"],
  ["other tokens paid in native coin", vault, "if (w.token != NATIVE) revert UnsupportedToken(w.token);", ""],
  ["failed payment ignored", vault, "if (!ok) revert PaymentFailed(to);", "if (!ok) return;"],
  ["fee paid on top", vault, "pay(w.recipient, w.amount - w.relayerFee);", "pay(w.recipient, w.amount);"],
  ["fee kept", vault, "if (w.relayerFee != 0) pay(msg.sender, w.relayerFee);", ""],
  ["locked not reduced", vault, "        lockedNative = uint192(lockedNative - w.amount);\n", ""],
  ["locked wraps", vault, "lockedNative = uint192(lockedNative - w.amount);", "unchecked { lockedNative = uint192(lockedNative - w.amount); }"],
  ["deposit of nothing", vault, "if (msg.value == 0) revert ZeroAmount();", ""],
  ["deposit to the zero address", vault, "if (recipient == address(0)) revert ZeroRecipient();", ""],
  ["locked truncated", vault, "if (sum > type(uint192).max) revert AmountTooLarge();", ""],
  ["nonces from 0", vault, "nonce = depositNonce + 1;", "nonce = depositNonce;"],
  ["sender not in the deposit's leaf", vault, "NATIVE, msg.sender, recipient, msg.value));", "NATIVE, address(0), recipient, msg.value));"],
  ["snapshot of a future nonce", vault, "nonce > depositNonce || ", ""],
  ["snapshot overwritten but answered", vault, " || depositNonce - nonce >= SNAPSHOTS", ""],
  ["snapshot ring one too long", vault, "depositNonce - nonce >= SNAPSHOTS", "depositNonce - nonce > SNAPSHOTS"],
  ["balance as backing", vault, "token == NATIVE ? lockedNative : 0", "token == NATIVE ? address(this).balance : 0"],
  ["vault takes any registry", vault, "if (address(registry_.vault()) != address(this)) revert WrongRegistry();", ""],
  ["plain payments accepted", vault, "    /// @notice Locks the coin sent;", "    receive() external payable {}\n\n    /// @notice Locks the coin sent;"],
];

const workspace = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const deps = path.join(workspace, "target/release/deps");
const isTest = (name) => /^parent-[0-9a-f]+$/.test(name);
const newest = fs
  .readdirSync(deps)
  .filter(isTest)
  .map((name) => path.join(deps, name))
  .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)[0];
const run = (directory) =>
  spawnSync(newest, ["--skip", "gas::", "--skip", "bindings::", "--skip", "deployed_code_is"], {
    cwd: path.join(workspace, "peg/contracts"),
    env: { ...process.env, ...(directory && { PEG_PLANTED_ARTIFACTS: directory }), PROPTEST_DISABLE_FAILURE_PERSISTENCE: "1" },
    encoding: "utf8",
    timeout: 300_000,
  });

if (run().status !== 0) throw new Error("the tests fail without a planted bug; build them first");
const only = process.argv.slice(2);
const sources = readSources();
let missed = 0;
let planted = 0;
for (const [name, file, find, replace] of bugs) {
  if (only.length && !only.some((part) => name.includes(part))) continue;
  if (!sources[file].includes(find)) throw new Error(`${file} has no "${find}" any more, so "${name}" cannot be planted`);
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), "planted-"));
  // A bug may leave a parameter or an error unused. These warnings are ignored here; the real sources must not have them.
  const artifacts = compile({ ...sources, [file]: sources[file].replaceAll(find, replace) }, { lenient: true });
  for (const contract of ["CheckpointRegistry.json", "PegVault.json"]) {
    fs.writeFileSync(path.join(directory, contract), artifacts[contract]);
  }
  const { status, stdout } = run(directory);
  fs.rmSync(directory, { recursive: true });
  planted += 1;
  if (status === 0) missed += 1;
  const failures = (stdout.match(/^test .* FAILED$/gm) ?? []).map((line) => line.split(" ")[1]);
  console.log(`${status === 0 ? "MISSED" : "caught"}  ${name}${failures.length ? `  (${failures[0]}${failures.length > 1 ? ` and ${failures.length - 1} more` : ""})` : ""}`);
}
console.log(`${planted - missed} of ${planted} planted bugs caught`);
process.exit(missed ? 1 : 0);
