// Writes quorum.json and digests.json: the expected certificates, digests, leaves and roots. They are computed here from the
// specifications with big integers and a third keccak implementation. The Rust and the Solidity tests read the same files.
// `--check` writes nothing and fails when a file differs.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import sha3 from "js-sha3";

const here = path.dirname(fileURLToPath(import.meta.url));
const check = process.argv.includes("--check");
const MAX_U64 = (1n << 64n) - 1n;

// ---- quorums ---------------------------------------------------------------------------------------------

/** Every subset of a small set; for larger sets every prefix, and every set without one member. */
const signerChoices = (count) =>
  count <= 5
    ? [...Array(1 << count).keys()].map((bits) => [...Array(count).keys()].filter((i) => (bits >> i) & 1))
    : [
        ...[...Array(count + 1).keys()].map((n) => [...Array(n).keys()]),
        ...[...Array(count).keys()].map((out) => [...Array(count).keys()].filter((i) => i !== out)),
      ];
const equal = (count, power = 1n) => Array(count).fill(power);
/** The members from `first` up to, but not including, `end`. */
const range = (first, end) => [...Array(end - first).keys()].map((i) => first + i);
const scaled = (...powers) => powers.map((power) => power << 40n);
/** The largest total power of a consensus set; three times this value fits 64 bits. */
const MAX_CONSENSUS = MAX_U64 / 8n;
/** Kind of boundary, powers in descending order, and the signers if not all of `signerChoices`. */
const sets = [
  ["one validator", equal(1)], ["one validator", [MAX_CONSENSUS]], ["one validator", [MAX_U64]],
  ["3f equal", equal(3)], ["3f equal", equal(6)], ["3f equal", equal(9)], ["3f equal", equal(21)],
  ["3f+1 equal", equal(4)], ["3f+1 equal", equal(7)], ["3f+1 equal", equal(10)],
  ["3f+2 equal", equal(2)], ["3f+2 equal", equal(5)], ["3f+2 equal", equal(8)],
  ["two thirds", [2n, 1n]], ["two thirds", [200n, 100n]],
  ["two thirds", [5n, 3n, 1n]], // 5 of 9: less; 8: more; 6 (5 + 1): exactly two thirds
  ["two thirds", [MAX_CONSENSUS / 3n * 2n, MAX_CONSENSUS / 3n]],
  ["two thirds", [MAX_U64 / 3n * 2n, MAX_U64 / 3n]],
  ["two thirds and one", [201n, 99n]], ["two thirds and one", [3n, 1n]], ["two thirds and one", [5n, 2n]],
  ["two thirds and one", [MAX_CONSENSUS / 3n * 2n + 1n, MAX_CONSENSUS / 3n]],
  ["two thirds and one", [MAX_U64 / 3n * 2n + 1n, MAX_U64 / 3n - 1n]],
  ["two thirds less one", [199n, 101n]], ["two thirds less one", [4n, 3n]],
  ["two thirds less one", [MAX_U64 / 3n * 2n - 1n, MAX_U64 / 3n + 1n]],
  ["u64 extremes", [MAX_U64 - 1n, 1n]], ["u64 extremes", [MAX_U64 / 2n + 1n, MAX_U64 / 2n]],
  ["total at the limit", [MAX_CONSENSUS - 1n, 1n]],
  ["total at the limit", [MAX_CONSENSUS / 3n + 1n, MAX_CONSENSUS / 3n, MAX_CONSENSUS / 3n]],
  ["total at the limit", equal(3, MAX_U64 / 3n)],
  ["total above the limit", [MAX_CONSENSUS, 1n]],
  ["total above the limit", [MAX_U64, 1n]],
  ["total above the limit", equal(3, MAX_U64)],
  ["256 members", equal(256), [[], range(0, 170), range(0, 171), range(86, 256), range(85, 256), range(0, 256)]],
  // 128 of 3 and 128 of 1: two thirds of 512 lie between 341 and 342.
  ["256 members", [...equal(128, 3n), ...equal(128)], [[...range(0, 113), 128, 129], range(0, 114), range(14, 256)]],
  ["256 members", equal(256, MAX_CONSENSUS / 256n), [range(0, 170), range(0, 171)]],
  ["too many members", equal(257), [range(0, 171), range(0, 172)]],
  ["too many members", equal(513), [range(0, 342), range(0, 343)]],
  ["zero power", [0n]], ["zero power", [3n, 0n]], ["zero power", [1n, 1n, 1n, 0n]],
  ["empty", []],
  ["one whale", [1000n, 1n, 1n, 1n]],
  ["one whale", [10n ** 12n, ...equal(20)], [[0], range(1, 21), range(0, 21)]],
  ["heads against power", [7n, 5n, 4n, 3n, 2n]],
  ["heads against power", [40n, 30n, ...equal(8, 3n)], [[0, 1], range(1, 10), range(2, 10), [0, ...range(2, 10)]]],
  ["scaled by 2^40", scaled(2n, 1n)], ["scaled by 2^40", scaled(1n, 1n, 1n, 1n)], ["scaled by 2^40", scaled(5n, 3n, 1n)],
  ["scaled to 2^40", [(1n << 41n) / 3n, (1n << 40n) - (1n << 41n) / 3n]],
  ["scaled to 2^40", [(1n << 41n) / 3n + 1n, (1n << 40n) - (1n << 41n) / 3n - 1n]],
];
/** The crates whose rules refuse a set with these powers before any signature is counted. */
const refusedBy = (powers, total) => {
  const malformed = powers.length === 0 || powers.includes(0n);
  return [
    ["consensus", malformed || powers.length > 512 || total > MAX_CONSENSUS],
    ["peg", malformed || powers.length > 256 || total > MAX_U64],
    // The registry sums in 256 bits, so no total is too large.
    ["registry", malformed || powers.length > 256],
  ].flatMap(([room, refuses]) => (refuses ? [room] : []));
};
const quorum = sets.flatMap(([kind, powers, choices]) => {
  const total = powers.reduce((a, b) => a + b, 0n);
  return (choices ?? signerChoices(powers.length)).map((signers) => ({
    kind,
    powers: powers.map(String),
    refusedBy: refusedBy(powers, total),
    signers,
    quorum: signers.reduce((sum, i) => sum + powers[i], 0n) * 3n > total * 2n,
  }));
});

// ---- digests ---------------------------------------------------------------------------------------------

const keccak = (bytes) => Buffer.from(sha3.keccak256.arrayBuffer(bytes));
const hex = (bytes) => `0x${bytes.toString("hex")}`;
const bytes = (text) => Buffer.from(text.slice(2), "hex");
const word = (value) =>
  typeof value === "string"
    ? Buffer.concat([Buffer.alloc(32 - bytes(value).length), bytes(value)])
    : Buffer.from(BigInt(value).toString(16).padStart(64, "0"), "hex");
const text = (value) => keccak(Buffer.from(value, "utf8"));
const fill = (byte, length) => `0x${byte.toString(16).padStart(2, "0").repeat(length)}`;

const types = {
  Checkpoint:
    "Checkpoint(uint64 number,bytes32 prevDigest,uint64 height,bytes32 blockHash,bytes32 stateRoot,bytes32 withdrawalRoot,uint64 withdrawalCount,uint64 depositNonce,bytes32 depositAcc,uint64 epoch,bytes32 nextValset)",
  ParentView: "ParentView(uint64 parentHeight,bytes32 parentHash,uint64 depositNonce,bytes32 depositAcc)",
  SetAcknowledged: "SetAcknowledged(uint64 epoch,bytes32 commitment)",
  Deposit: "Deposit(uint64 nonce,address token,address sender,address recipient,uint256 amount)",
  Withdrawal: "Withdrawal(uint64 index,address token,address sender,address recipient,uint256 amount,uint256 relayerFee)",
};
const structHash = (type, value) => {
  const fields = types[type].slice(types[type].indexOf("(") + 1, -1).split(",").map((f) => f.split(" ")[1]);
  return keccak(Buffer.concat([text(types[type]), ...fields.map((field) => word(value[field]))]));
};
const domain = { parentChainId: 31337, registry: fill(0x11, 20), genesisHash: fill(0x22, 32) };
const separator = keccak(
  Buffer.concat([
    text("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"),
    text("Causeway"), text("1"), word(domain.parentChainId), word(domain.registry), word(domain.genesisHash),
  ]),
);
const signingHash = (type, value) =>
  keccak(Buffer.concat([Buffer.from([0x19, 0x01]), separator, structHash(type, value)]));

const checkpoint = {
  number: 7, prevDigest: fill(0xa1, 32), height: 700, blockHash: fill(0xa2, 32), stateRoot: fill(0xa3, 32),
  withdrawalRoot: fill(0xa4, 32), withdrawalCount: 12, depositNonce: 34, depositAcc: fill(0xa5, 32), epoch: 3,
  nextValset: fill(0xa6, 32),
};
const parentView = { parentHeight: 123456, parentHash: fill(0xb1, 32), depositNonce: 34, depositAcc: fill(0xb2, 32) };
const setAcknowledged = { epoch: 9, commitment: fill(0xb3, 32) };
const deposits = [1, 2, 3].map((nonce) => ({
  nonce, token: fill(0, 20), sender: fill(0xc0 + nonce, 20), recipient: fill(0xd0 + nonce, 20),
  amount: hex(word(10n ** 18n * BigInt(nonce) + 7n)),
}));
const accumulators = [];
deposits.reduce((acc, deposit) => {
  const next = keccak(Buffer.concat([acc, structHash("Deposit", deposit)]));
  accumulators.push(hex(next));
  return next;
}, Buffer.alloc(32));

const withdrawals = [0, 1, 2, 3, 4].map((index) => ({
  index, token: fill(0, 20), sender: fill(0xe0 + index, 20), recipient: fill(0xf0 + index, 20),
  amount: hex(word(5n * 10n ** 17n + BigInt(index))), relayerFee: hex(word(10n ** 15n)),
}));
const leaves = withdrawals.map((w) => keccak(structHash("Withdrawal", w)));
const zeros = [Buffer.alloc(32)];
for (let level = 0; level < 32; level++) zeros.push(keccak(Buffer.concat([zeros[level], zeros[level]])));
// The tree from its definition: every level rebuilt from the leaves.
const root = (count) => {
  let layer = leaves.slice(0, count);
  for (let level = 0; level < 32; level++) {
    const next = [];
    for (let i = 0; i < layer.length; i += 2) next.push(keccak(Buffer.concat([layer[i], layer[i + 1] ?? zeros[level]])));
    layer = next.length ? next : [zeros[level + 1]];
  }
  return layer[0];
};

const validators = [
  { address: fill(0x51, 20), power: "400" },
  { address: fill(0x50, 20), power: "300" },
  { address: fill(0x52, 20), power: "300" },
];
const packed = Buffer.concat(
  validators.map((v) => Buffer.concat([bytes(v.address), Buffer.from(BigInt(v.power).toString(16).padStart(16, "0"), "hex")])),
);

const digests = {
  domain, separator: hex(separator),
  checkpoint, checkpointDigest: hex(signingHash("Checkpoint", checkpoint)),
  parentView, parentViewDigest: hex(signingHash("ParentView", parentView)),
  setAcknowledged, setAcknowledgedDigest: hex(signingHash("SetAcknowledged", setAcknowledged)),
  deposits, depositLeaves: deposits.map((d) => hex(structHash("Deposit", d))), accumulators,
  withdrawals, withdrawalLeaves: leaves.map(hex),
  withdrawalRoots: [0, 1, 2, 3, 4, 5].map((count) => hex(root(count))), zeroHashes: zeros.map(hex),
  validators, packedValidators: hex(packed), validatorCommitment: hex(keccak(packed)),
};

// ---- files -----------------------------------------------------------------------------------------------

const list = (items) => `[\n${items.map((item) => `  ${JSON.stringify(item)}`).join(",\n")}\n]\n`;
let stale = false;
for (const [name, content] of [["quorum.json", list(quorum)], ["digests.json", `${JSON.stringify(digests, null, 2)}\n`]]) {
  const file = path.join(here, name);
  if (fs.existsSync(file) && fs.readFileSync(file, "utf8") === content) continue;
  stale = true;
  if (check) console.error(`vectors/${name} differs; run: node vectors/generate.mjs`);
  else fs.writeFileSync(file, content);
}
if (check && stale) process.exit(1);
console.log(`${quorum.length} quorum vectors, digests ${hex(separator).slice(0, 10)}...`);
