import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { runCommand } from "../helpers/command.js";

const { version } = JSON.parse(readFileSync(path.join(__dirname, "../../package.json"), "utf8"));

test("--help lists every command, and each has a help of its own", async () => {
  const { code, stdout, stderr } = await runCommand("--help");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const commands = ["serve", "status", "verify", "inspect", "devices", "early-start"];
  for (const command of commands) {
    expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
    const help = await runCommand(command, "--help");
    expect({ code: help.code, stderr: help.stderr }).toEqual({ code: 0, stderr: "" });
    expect(help.stdout).toContain(`Usage: cuda-ipc ${command}`);
  }
});

test("--version prints the package's version", async () => {
  expect(await runCommand("--version")).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
});

test.each([
  { args: [], says: "Usage: cuda-ipc" },
  { args: ["sevre"], says: "unknown command 'sevre'" },
  { args: ["serve", "--name", "llm"], says: "missing required argument 'model'" },
  { args: ["serve", "model"], says: "required option '--name <name>' not specified" },
  { args: ["serve", "model", "--name", "llm", "--device", "-1"], says: "Expected a whole number" },
  { args: ["serve", "model", "--name", "llm", "--sharing", "copy"], says: "Allowed choices are vmm, ipc" },
  { args: ["devices", "--driver", "cpu"], says: "Allowed choices are libcuda, host" },
  { args: ["status", "--sokcet", "/tmp/x"], says: "unknown option '--sokcet'" },
  { args: ["serve", "model", "--name", ""], says: "'--name <name>' argument '' is invalid. It is empty." },
  { args: ["status", "--socket", ""], says: "'--socket <path>' argument '' is invalid. It is empty." },
  { args: ["serve", "model", "--name", "llm", "--allow-uid", "me"], says: "Expected a whole number" },
  { args: ["status", "--timeout", "0"], says: "Expected milliseconds, 1 to 2147483647" },
  { args: ["status", "--timeout", "99999999999"], says: "Expected milliseconds, 1 to 2147483647" },
  { args: ["inspect", "one", "two"], says: "too many arguments" },
])("wrong usage ends with 2: $args", async ({ args, says }) => {
  const { code, stdout, stderr } = await runCommand(...args);
  expect({ code, stdout }, stderr).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(says);
});
