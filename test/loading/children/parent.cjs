// Starts a process that asks to be ended with this one, and prints its pid when it has.
const { spawn } = require("node:child_process");
const path = require("node:path");

const program = `
  require(${JSON.stringify(path.join(__dirname, "../../../dist/lib/native.js"))}).native.dieWithParent();
  process.stdout.write(String(process.pid));
  setInterval(() => {}, 1000);
`;
const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
child.stdout.on("data", (pid) => process.stdout.write(pid));
