// viem against a Causeway node, unmodified: node viem.mjs HTTP_URL WS_URL CHAIN_ID PRIVATE_KEY BYTECODE_FILE
// Each step throws when the node answers otherwise than an Ethereum node would.
import assert from "node:assert/strict";
import fs from "node:fs";
import {
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  parseEther,
  parseGwei,
  webSocket,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";

const [httpUrl, wsUrl, chainId, privateKey, artifactFile] = process.argv.slice(2);
const artifact = JSON.parse(fs.readFileSync(artifactFile, "utf8"));
const chain = defineChain({
  id: Number(chainId),
  name: "Causeway",
  nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
  rpcUrls: { default: { http: [httpUrl], webSocket: [wsUrl] } },
});
const account = privateKeyToAccount(privateKey);
const node = createPublicClient({ chain, transport: http(), pollingInterval: 100 });
const socket = createPublicClient({ chain, transport: webSocket(wsUrl) });
const wallet = createWalletClient({ chain, account, transport: http() });
const to = "0x00000000000000000000000000000000000c0ffe";
const step = (name) => console.log(`ok ${name}`);

assert.equal(await node.getChainId(), Number(chainId));
assert((await node.getBalance({ address: account.address })) > parseEther("100"));
step("chain id and balance");

const before = await node.getBalance({ address: to });
const hash = await wallet.sendTransaction({ to, value: parseEther("1.25") });
const receipt = await node.waitForTransactionReceipt({ hash });
assert.equal(receipt.status, "success");
assert.equal(receipt.gasUsed, 21000n);
assert.equal(await node.getBalance({ address: to }), before + parseEther("1.25"));
const sent = await node.getTransaction({ hash });
assert.equal(sent.blockNumber, receipt.blockNumber);
assert.equal(sent.type, "eip1559");
step("transfer and receipt");

const legacy = await wallet.sendTransaction({ to, value: 1n, type: "legacy", gasPrice: parseGwei("5") });
assert.equal((await node.waitForTransactionReceipt({ hash: legacy })).type, "legacy");
step("legacy transaction");

const supply = parseEther("1000");
const deployed = await wallet.deployContract({ abi: artifact.abi, bytecode: artifact.bytecode, args: [supply] });
const { contractAddress: address } = await node.waitForTransactionReceipt({ hash: deployed });
const token = { address, abi: artifact.abi };
assert.equal(await node.readContract({ ...token, functionName: "balanceOf", args: [account.address] }), supply);
step("deploy and call a contract");

const heads = [];
const logs = [];
const stopHeads = socket.watchBlocks({ onBlock: (block) => heads.push(block.number) });
const stopLogs = socket.watchContractEvent({ ...token, eventName: "Transfer", onLogs: (seen) => logs.push(...seen) });
// The subscription must stand before the event happens.
await new Promise((resolve) => setTimeout(resolve, 500));
const moved = await wallet.writeContract({ ...token, functionName: "transfer", args: [to, 42n] });
const movedReceipt = await node.waitForTransactionReceipt({ hash: moved });
const found = await node.getContractEvents({
  ...token,
  eventName: "Transfer",
  fromBlock: movedReceipt.blockNumber,
  toBlock: movedReceipt.blockNumber,
});
assert.equal(found.length, 1);
assert.equal(found[0].args.value, 42n);
for (let tries = 0; tries < 100 && (logs.length === 0 || heads.length === 0); tries++) {
  await new Promise((resolve) => setTimeout(resolve, 100));
}
assert.equal(logs[0].transactionHash, moved);
assert(heads.length > 0);
stopHeads();
stopLogs();
step("logs by filter and by subscription, heads by subscription");

const filter = await node.createContractEventFilter({ ...token, eventName: "Transfer", fromBlock: 0n });
assert((await node.getFilterLogs({ filter })).length >= 2);
step("installed filters");

const history = await node.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
assert(history.baseFeePerGas.length >= 2);
assert((await node.estimateGas({ account, to, value: 1n })) === 21000n);
assert((await node.estimateFeesPerGas()).maxFeePerGas > 0n);
step("fee history and estimates");

await assert.rejects(
  node.simulateContract({ ...token, account, functionName: "transfer", args: [to, parseEther("5000")] }),
  (error) => error.walk((cause) => cause.data?.errorName === "InsufficientBalance") !== null,
);
step("a revert with its reason");

await assert.rejects(wallet.sendTransaction({ to, value: 1n, nonce: 0, gas: 21000n }), /nonce too low|lower than the current nonce/i);
await assert.rejects(wallet.sendTransaction({ to, value: parseEther("100000000"), gas: 21000n }), /insufficient funds|exceeds the balance/i);
step("a wrong nonce and too little coin, in geth's words");

const block = await node.getBlock({ blockTag: "finalized", includeTransactions: true });
assert.equal((await node.getBlock({ blockHash: block.hash })).number, block.number);
const proof = await node.getProof({ address, storageKeys: ["0x0"], blockNumber: movedReceipt.blockNumber });
assert(proof.accountProof.length > 0);
step("blocks and proofs");
process.exit(0);
