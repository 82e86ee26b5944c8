// Packs the package, installs the tarball into an empty project as a user would, and uses it from there: the ES
// module, CommonJS, the types of both, and the command.
const { spawnSync } = require("node:child_process");
const { mkdtempSync, readdirSync, rmSync, writeFileSync } = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const root = path.join(__dirname, "..");
const project = mkdtempSync(path.join(os.tmpdir(), "cuda-ipc-package-"));
process.once("exit", () => rmSync(project, { recursive: true, force: true }));

// What npm tells the scripts of this checkout is none of the other project's business.
const env = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_(?!config_nodedir)/.test(name)),
);
env.CUDA_IPC_DRIVER = "host";

function run(command, args, cwd = project) {
  console.log(`$ ${[command, ...args].join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
}

const write = (name, text) => writeFileSync(path.join(project, name), text);

/** Publishes, attaches and reads: the package's addon at work. */
const body = (weights) => `
  const owner = await Owner.listen({ socket: "./owner.sock" });
  await owner.load("answer", { value: Float32Array.of(42) });
  ${weights}
  const [value] = await weights.tensor("value").toHost();
  if (value !== 42) throw new Error(\`read \${value}\`);
  await weights.release();
  await owner.close();
`;
const attached = 'const weights = await attach("answer", { socket: "./owner.sock" });';
const typed = 'const weights: Weights = await attach("answer", { socket: "./owner.sock" });';
const names = "attach, CudaIpcError, Owner";

write("package.json", JSON.stringify({ name: "user", private: true }));
write("module.mjs", `import { ${names} } from "cuda-ipc";\n${body(attached)}\nif (!CudaIpcError) throw 1;`);
write(
  "common.cjs",
  `const { ${names} } = require("cuda-ipc");\n(async () => {${body(attached)}})();\nif (!CudaIpcError) throw 1;`,
);
write(
  "same.mjs",
  'import { createRequire } from "node:module";\nimport { Owner } from "cuda-ipc";\n' +
    'if (createRequire(import.meta.url)("cuda-ipc").Owner !== Owner) throw new Error("two copies of the library");',
);
write("module.mts", `import { attach, Owner, type Weights } from "cuda-ipc";\n${body(typed)}export {};\n`);
write(
  "common.cts",
  `import cudaIpc = require("cuda-ipc");\nconst { attach, Owner } = cudaIpc;\ntype Weights = cudaIpc.Weights;\n` +
    `export async function main(): Promise<void> {${body(typed)}}\n`,
);
write(
  "tsconfig.json",
  JSON.stringify({
    compilerOptions: {
      module: "nodenext",
      target: "es2022",
      strict: true,
      noEmit: true,
      types: ["node"],
      typeRoots: [path.join(root, "node_modules/@types")],
    },
    files: ["module.mts", "common.cts"],
  }),
);

run("npm", ["pack", "--pack-destination", project], root);
const tarball = readdirSync(project).find((name) => name.endsWith(".tgz"));
run("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", `./${tarball}`]);
run("node", ["module.mjs"]);
run("node", ["common.cjs"]);
run("node", ["same.mjs"]);
run(path.join(root, "node_modules/.bin/tsc"), ["-p", "."]);
run("npx", ["--no-install", "cuda-ipc", "--help"]);
console.log("The packed tarball works as a dependency.");
