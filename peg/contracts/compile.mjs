// Compiles solidity/ with the solc that package-lock.json pins, and writes artifacts/.
// `--check` writes nothing and fails when the committed artifacts differ from the compiled sources.
import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const root = path.dirname(fileURLToPath(import.meta.url));
const sourceDir = path.join(root, "solidity");
const artifactDir = path.join(root, "artifacts");

const names = fs
  .readdirSync(sourceDir, { recursive: true })
  .map((name) => name.split(path.sep).join("/"))
  .filter((name) => name.endsWith(".sol"))
  .sort();

/** The sources by name. */
export const readSources = () =>
  Object.fromEntries(names.map((name) => [name, fs.readFileSync(path.join(sourceDir, name), "utf8")]));

/** Compiles `sources` to artifacts: texts by file name. Throws on any compiler message, warnings included. */
export function compile(sources, { lenient = false } = {}) {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(Object.entries(sources).map(([name, content]) => [name, { content }])),
    settings: {
      evmVersion: "cancun",
      viaIR: true,
      optimizer: { enabled: true, runs: 1_000_000 },
      // The bytecode ends without a hash of sources and paths, so the same code compiles to the same bytes anywhere.
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: {
        "*": {
          "": ["ast"],
          "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.deployedBytecode.immutableReferences"],
        },
      },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const errors = (output.errors ?? []).filter((error) => !lenient || error.severity === "error");
  if (errors.length) throw new Error(errors.map((error) => error.formattedMessage).join("\n"));

  // solc identifies immutables by syntax-tree ids, which change with unrelated edits; names and positions do not.
  const variableNames = new Map();
  const walk = (node) => {
    if (node === null || typeof node !== "object") return;
    if (node.nodeType === "VariableDeclaration") variableNames.set(String(node.id), node.name);
    Object.values(node).forEach(walk);
  };
  Object.values(output.sources).forEach(({ ast }) => walk(ast));
  const immutables = (references) =>
    Object.fromEntries(
      Object.entries(references)
        .map(([id, places]) => [variableNames.get(id), places])
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );

  const artifacts = {};
  for (const [source, contracts] of Object.entries(output.contracts)) {
    for (const [name, { abi, evm }] of Object.entries(contracts)) {
      if (!evm.bytecode.object) continue; // an interface
      const artifact = {
        contractName: name,
        compiler: solc.version(),
        abi,
        bytecode: `0x${evm.bytecode.object}`,
        deployedBytecode: `0x${evm.deployedBytecode.object}`,
        immutableReferences: immutables(evm.deployedBytecode.immutableReferences),
      };
      artifacts[path.join(path.dirname(source), `${name}.json`)] = `${JSON.stringify(artifact, null, 2)}\n`;
    }
  }
  return artifacts;
}

function main() {
  const check = process.argv.includes("--check");
  const artifacts = compile(readSources());
  let stale = 0;
  for (const [name, text] of Object.entries(artifacts)) {
    const file = path.join(artifactDir, name);
    const committed = fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null;
    if (committed === text) continue;
    stale += 1;
    if (check) {
      console.error(`artifacts/${name} differs from the compiled sources in solidity/; run: npm run compile`);
    } else {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, text);
      console.log(`wrote artifacts/${name}`);
    }
  }
  for (const old of fs.existsSync(artifactDir) ? fs.readdirSync(artifactDir, { recursive: true }) : []) {
    const name = old.split(path.sep).join("/");
    if (!name.endsWith(".json") || name in artifacts) continue;
    stale += 1;
    console.error(`artifacts/${name} has no source in solidity/; remove it`);
  }
  if (check && stale) process.exit(1);
  console.log(`${Object.keys(artifacts).length} contracts, ${solc.version()}, ${stale ? "updated" : "unchanged"}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
