import { expect, test } from "vitest";
import { cudaGetDeviceCount, cudaGetDeviceProperties } from "../../dist/lib/index.js";
import { runCommand, startCommand } from "../helpers/command.js";

const driver = process.env.CUDA_IPC_DRIVER!;

test("lists every device that the library sees", async () => {
  const devices = [];
  for (let device = 0; device < (await cudaGetDeviceCount()); device++) {
    devices.push(await cudaGetDeviceProperties({ device }));
  }
  const json = await runCommand("devices", "--json");
  expect(json).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(json.stdout)).toMatchObject({ driver, devices });
  const { code, stdout } = await runCommand("devices");
  expect(code).toBe(0);
  expect(stdout).toContain(`Driver: ${driver} `);
  for (const { ordinal, uuid, name } of devices) {
    expect(stdout).toMatch(new RegExp(`^ *${ordinal}  ${uuid}  .*${name.slice(0, 4)}`, "m"));
  }
});

test("--memory adds what is free", async () => {
  const { stdout } = await runCommand("devices", "--memory", "--json");
  for (const { freeBytes, totalBytes } of JSON.parse(stdout).devices) {
    expect(freeBytes).toBeGreaterThan(0);
    expect(freeBytes).toBeLessThanOrEqual(totalBytes);
  }
});

test("--driver chooses the host driver, which says that no GPU is used", async () => {
  const command = startCommand(["devices", "--driver", "host"], { env: { CUDA_IPC_DRIVER: "" } });
  const { code, stdout } = await command.ended;
  expect(code).toBe(0);
  expect(stdout).toContain("no GPU is used");
});

test("a host driver without a device says by which variable", async () => {
  const env = { CUDA_IPC_HOST_DEVICES: "0" };
  const { code, stderr } = await startCommand(["devices", "--driver", "host"], { env }).ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^cuda-ipc: [^\n]*CUDA_IPC_HOST_DEVICES is 0, [^\n]*\[ERR_CUDA_IPC_NO_DEVICE\]\n$/);
  expect(stderr).not.toContain("nvidia-smi");
});

test.each([
  ["CUDA_IPC_HOST_MEMORY", "much"],
  ["CUDA_IPC_HOST_DEVICES", "99"],
])("%s=%s is refused by its name", async (name, value) => {
  const command = startCommand(["devices", "--driver", "host"], { env: { [name]: value } });
  const { code, stderr } = await command.ended;
  expect(code).toBe(1);
  expect(stderr).toMatch(new RegExp(`^cuda-ipc: .*${name}.*\\[ERR_CUDA_IPC_INVALID_ARGUMENT\\]$`, "m"));
});
