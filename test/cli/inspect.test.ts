import { writeFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { shortened, tableText } from "../../dist/lib/cli/text.js";
import { writeSafetensors } from "../../dist/lib/index.js";
import expected from "../fixtures/expected.json";
import { runCommand } from "../helpers/command.js";
import { temporaryFolder } from "../helpers/temporary.js";

const fixtures = path.join(__dirname, "../fixtures");
const folder = temporaryFolder();

interface Listed {
  name: string;
  dtype: string;
  shape: number[];
}

test.each(["dtypes", "llama-single", "llama-sharded"] as const)("lists every tensor of %s", async (name) => {
  const tensors = expected[name] as Record<string, { dtype: string; shape: number[] }>;
  const model =
    name === "dtypes" ? path.join(fixtures, name, "dtypes.safetensors") : path.join(fixtures, name);
  const json = await runCommand("inspect", model, "--json");
  expect(json).toMatchObject({ code: 0, stderr: "" });
  const listed = JSON.parse(json.stdout).tensors as Listed[];
  const facts = Object.fromEntries(listed.map(({ name, dtype, shape }) => [name, { dtype, shape }]));
  const wanted = Object.entries(tensors).map(([name, { dtype, shape }]) => [name, { dtype, shape }]);
  expect(facts).toEqual(Object.fromEntries(wanted));
  const { code, stdout } = await runCommand("inspect", model);
  expect(code).toBe(0);
  for (const { name, dtype, shape } of listed) {
    const line = stdout.split("\n").find((line) => line.startsWith(`${name} `));
    expect(line).toContain(dtype);
    expect(line).toContain(`[${shape.join(", ")}]`);
  }
  expect(stdout).toContain(`${listed.length} tensors`);
});

test("a broken file is one line that names the rule, and status 1", async () => {
  const file = path.join(folder, "broken.safetensors");
  await writeFile(file, "not a checkpoint");
  const { code, stdout, stderr } = await runCommand("inspect", file);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^cuda-ipc: .*\(rule: header-too-large\).*\[ERR_CUDA_IPC_FORMAT\]\n$/);
});

test("what is very long is shortened for people, and whole as JSON", async () => {
  const file = path.join(folder, "long.safetensors");
  const data = new Uint8Array(1);
  const name = `begin${"n".repeat(100_000)}`;
  const many = Array.from({ length: 150 }, (_, i) => [`key${i}`, "v"]);
  const metadata = { long: "m".repeat(100_000), ...Object.fromEntries(many) };
  const tensors = [name, "short"].map((name) => ({ name, dtype: "U8", shape: [1], data }) as const);
  await writeSafetensors(file, tensors, { metadata });
  const { code, stdout } = await runCommand("inspect", file);
  expect(code).toBe(0);
  const lines = stdout.split("\n");
  expect(lines.filter((line) => line.length > 400)).toEqual([]);
  expect(lines.find((line) => line.startsWith("begin"))).toMatch(/^beginn+… +U8/);
  expect(stdout).toMatch(/^Metadata: long = m{255}…$/m);
  expect(stdout).toContain("Metadata: 51 more (--json has all)\n");
  const json = JSON.parse((await runCommand("inspect", file, "--json")).stdout);
  expect(json.tensors.map(({ name }: Listed) => name).sort()).toEqual([name, "short"]);
  expect(json.metadata).toEqual(metadata);
});

test("a table may have more rows than a function takes arguments", () => {
  const rows = Array.from({ length: 300_000 }, (_, i) => [String(i), "name"]);
  const lines = tableText(["NUMBER", "NAME"], rows).split("\n");
  expect(lines.length).toBe(300_002);
  expect(lines[300_000]).toBe("299999  name");
});

test("half a character is none", () => {
  expect(shortened(`${"a".repeat(254)}\u{1f600}b`)).toBe(`${"a".repeat(254)}…`);
  expect(shortened("a".repeat(256))).toBe("a".repeat(256));
});

test("names in a file cannot steer the terminal", async () => {
  const file = path.join(folder, "names.safetensors");
  const data = new Uint8Array(1);
  await writeSafetensors(file, [{ name: "\u001b]0;title\u0007", dtype: "U8", shape: [1], data }], {
    metadata: { note: "\u001b[2J" },
  });
  const { code, stdout } = await runCommand("inspect", file);
  expect(code).toBe(0);
  expect(stdout).toContain("\\u{1b}]0;title\\u{7}");
  for (const control of ["\u001b", "\u0007"]) expect(stdout).not.toContain(control);
});
