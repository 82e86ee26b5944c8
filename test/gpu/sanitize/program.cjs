// What sanitize.sh has looked at: an owner that loads, a worker that attaches, every kind of kernel, and the end of all
// of it. `node program.cjs vmm|ipc`; `kernels`: the kernels alone, on this process's own memory. Exit status 1 when a
// result is wrong.
const assert = require("node:assert/strict");
const { fork } = require("node:child_process");
const { once } = require("node:events");
const { mkdtempSync, rmSync } = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const cuda = require("../../../dist/lib/index.js");
const { native } = require("../../../dist/lib/native.js");

const inputs = 129;
const outputs = 67;
/** Under a sanitizer everything is slow. */
const timeout = 300_000;

// Small integers: sums are exact in any order.
const tensors = {
  weights: Float32Array.from({ length: inputs * outputs }, (_, i) => (i % 7) - 3),
  counter: BigUint64Array.of(0n),
  noise: Uint8Array.from({ length: 5_000_003 }, (_, i) => (i * 31) & 255),
};
const x = Float32Array.from({ length: inputs }, (_, i) => (i % 5) - 2);
const expected = Float32Array.from({ length: outputs }, (_, row) =>
  x.reduce((sum, value, i) => sum + value * tensors.weights[row * inputs + i], 0),
);

async function withMemory(bytes, use) {
  const pointer = await cuda.cudaMalloc(bytes);
  try {
    return await use(pointer);
  } finally {
    await cuda.cudaFree(pointer);
  }
}

async function launch(name, grid, block, args) {
  const kernel = await (await cuda.builtinModule(0)).function(name);
  kernel.launch({ grid, block, args });
  await cuda.cudaDeviceSynchronize();
}

const u64 = (value) => ({ u64: BigInt(value) });

async function checkLinear(weights) {
  await withMemory(x.byteLength, (input) =>
    withMemory(expected.byteLength, async (output) => {
      await cuda.cudaMemcpy(input, x);
      const args = [{ pointer: weights }, { pointer: input }, { pointer: output }, u64(inputs), u64(outputs)];
      await launch("cuda_ipc_linear_f32", Math.ceil(outputs / 8), 256, args);
      const y = new Float32Array(outputs);
      await cuda.cudaMemcpy(y, output);
      assert.deepEqual(y, expected);
    }),
  );
}

async function checkFill(pointer, bytes) {
  await launch("cuda_ipc_fill_u8", 4, 256, [{ pointer }, u64(bytes), { u8: 0xee }]);
  const filled = Buffer.alloc(bytes);
  await cuda.cudaMemcpy(filled, pointer);
  assert.ok(filled.equals(Buffer.alloc(bytes, 0xee)));
}

async function kernels() {
  await withMemory(tensors.weights.byteLength, async (pointer) => {
    await cuda.cudaMemcpy(pointer, tensors.weights);
    await checkLinear(pointer);
  });
  const { noise } = tensors;
  await withMemory(noise.length, async (pointer) => {
    await cuda.cudaMemcpy(pointer, noise);
    const checksum = (offset) => native.checksum(0, pointer + BigInt(offset), noise.length - offset);
    const whole = await checksum(0);
    assert.deepEqual(await checksum(0), whole);
    for (const offset of [1, 8, 13]) assert.notDeepEqual(await checksum(offset), whole);
    await checkFill(pointer + 3n, 100_001);
  });
  for (const [name, value] of [
    ["u32", { u32: 2 }],
    ["u64", { u64: 2n }],
    ["f32", { f32: 2 }],
  ]) {
    await withMemory(16, async (pointer) => {
      await cuda.cudaMemset(pointer, 0, 16);
      const args = [{ pointer }, value, { pointer: pointer + 8n }];
      await launch(`cuda_ipc_atomic_add_${name}`, 1, 32, args);
    });
  }
}

async function worker(socket) {
  const weights = await cuda.attach("set", { socket, access: "readwrite", timeout });
  assert.equal(await weights.computeChecksum(), weights.checksum);
  await checkLinear(weights.tensor("weights").devicePointer);
  for (let n = 0; n < 5; n++) await weights.tensor("counter").atomicAdd(0, 1n);
  assert.deepEqual(await weights.tensor("counter").toHost(), BigUint64Array.of(5n));
  const { devicePointer, bytes } = weights.tensor("noise");
  await checkFill(devicePointer, bytes);
  await weights.release();
}

async function owner(sharing) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "cuda-ipc-sanitize-"));
  try {
    const owning = await cuda.Owner.listen({ socket: path.join(folder, "owner.sock") });
    const version = await owning.load("set", tensors, { sharing, writable: true });
    const child = fork(__filename, ["worker", owning.socket]);
    assert.deepEqual(await once(child, "exit"), [0, null]);
    const here = await cuda.attach("set", { socket: owning.socket, timeout });
    assert.deepEqual(await here.tensor("weights").toHost(), tensors.weights);
    assert.notEqual(await here.computeChecksum(), version.checksum);
    await here.release();
    await owning.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function main([what, socket]) {
  if (what === "kernels") await kernels();
  else if (what === "worker") await worker(socket);
  else await owner(what);
  console.log(`${what}: all results are right`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
