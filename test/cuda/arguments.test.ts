// Wrong arguments are refused before anything happens, by name, here and once more in the addon.
import { expect, test } from "vitest";
import * as cuda from "../../dist/lib/cuda/index.js";
import { native } from "../../dist/lib/native.js";

// biome-ignore lint/suspicious/noExplicitAny: wrong types on purpose
type Wrong = any;
const wrong = <T>(value: T) => value as Wrong;

const cases: [what: string, call: () => unknown, message: RegExp][] = [
  [
    "no size",
    () => cuda.cudaMalloc(wrong(undefined)),
    /safe integer from 1 for bytes, but received undefined/,
  ],
  ["size 0", () => cuda.cudaMalloc(0), /from 1 for bytes, but received 0 of type number/],
  ["half a byte", () => cuda.cudaMalloc(1.5), /for bytes, but received 1.5/],
  [
    "a size past 2^53",
    () => cuda.cudaMalloc(2n ** 60n),
    /for bytes, but received 1152921504606846976 of type bigint/,
  ],
  [
    "a number as pointer",
    () => cuda.cudaFree(wrong(5)),
    /a bigint of 64 bits\) for pointer, but received 5 of type number/,
  ],
  ["a negative pointer", () => cuda.cudaFree(-1n), /for pointer, but received -1 of type bigint/],
  ["a pointer past 64 bits", () => cuda.cudaFree(2n ** 64n), /for pointer/],
  [
    "a misspelled option",
    () => cuda.cudaMalloc(1, wrong({ devise: 1 })),
    /only device, signal for options, but received "devise"/,
  ],
  [
    "a device by name",
    () => cuda.cudaMalloc(1, wrong({ device: "0" })),
    /for device, but received "0" of type string/,
  ],
  ["a negative device", () => cuda.cudaMalloc(1, { device: -1 }), /for device, but received -1/],
  ["a signal of another kind", () => cuda.cudaMalloc(1, wrong({ signal: {} })), /an AbortSignal for signal/],
  [
    "null for options",
    () => cuda.cudaMalloc(1, wrong(null)),
    /an object for options, but received null of type null/,
  ],
  [
    "two views",
    () => cuda.cudaMemcpy(Buffer.alloc(1), Buffer.alloc(1)),
    /device pointer \(a bigint of 64 bits\) for target/,
  ],
  ["no count", () => cuda.cudaMemcpy(8n, 16n), /for count, but received undefined/],
  [
    "a count past the view",
    () => cuda.cudaMemcpy(8n, Buffer.alloc(4), 5),
    /at most the 4 bytes of source for count, but received 5/,
  ],
  ["a value past its width", () => cuda.cudaMemset(8n, 256, 1), /from 0 to 255 for value, but received 256/],
  [
    "no stream",
    () => cuda.cudaMemcpyAsync(8n, 16n, 1, wrong({})),
    /a Stream for stream, but received undefined/,
  ],
  ["no options", () => cuda.cudaMemsetAsync(8n, 0, 1, wrong(undefined)), /a Stream for stream/],
  [
    "a short handle",
    () => cuda.cudaIpcOpenMemHandle(Buffer.alloc(63)),
    /64 for handle.byteLength, but received 63 of type number/,
  ],
  ["text that is not base64", () => cuda.cudaIpcOpenMemHandle("no!"), /the base64 of 64 bytes for handle/],
  ["a number as handle", () => cuda.cudaIpcOpenMemHandle(wrong(1)), /a Buffer or a base64 string for handle/],
  [
    "timing between processes",
    () => cuda.Event.create({ interprocess: true, timing: true }),
    /false when interprocess/,
  ],
  ["an image of another kind", () => cuda.Module.load(0, wrong(1)), /PTX as a string, or a Buffer for image/],
  [
    "an unknown access",
    async () => {
      await using vmm = await cuda.VmmAllocation.create(1);
      await vmm.map(wrong("write"));
    },
    /"read" or "readwrite" for access, but received "write"/,
  ],
];

test.each(cases)("refuses %s", async (_, call, message) => {
  const error = await Promise.resolve()
    .then(call)
    .then(
      () => undefined,
      (error: unknown) => error,
    );
  expect(error).toMatchObject({
    code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
    message: expect.stringMatching(message),
  });
});

test("the addon checks for itself", () => {
  const calls: [() => unknown, RegExp][] = [
    [() => native.memAlloc(wrong("0"), 1), /for device, but received "0" of type string/],
    [() => native.memAlloc(0, Number.NaN), /for bytes, but received NaN/],
    [() => native.memFree(0, wrong(1)), /for pointer, but received 1 of type number/],
    [() => native.memcpyHtoD(0, 8n, wrong([1])), /a Buffer, typed array or DataView for source/],
    [
      () => native.memcpyDtoD(0, 8n, 8n, 1, wrong({})),
      /a stream of device 0 for stream, but received a value of type object/,
    ],
    [() => native.memset(0, 8n, 0, wrong(3), 1), /1, 2 or 4 for width/],
    [() => native.memset(0, 8n, 256, 1, 1), /from 0 to 255 for value/],
    [() => native.ipcOpenMemHandle(0, Buffer.alloc(65)), /64 bytes for handle, but received 65/],
    [() => native.createStream(0, wrong(1)), /a boolean for nonBlocking/],
    [() => native.importVmm(0, wrong({}), 1), /fd/],
    [
      () => native.eventElapsedTime(wrong(Symbol("x")), wrong(1)),
      /an event for start, but received a value of type symbol/,
    ],
  ];
  for (const [call, message] of calls)
    expect(call).toThrow(
      expect.objectContaining({
        code: "ERR_CUDA_IPC_INVALID_ARGUMENT",
        message: expect.stringMatching(message),
      }),
    );
});

test("an object of another class is not taken for a stream", async () => {
  await using stream = await cuda.Stream.create();
  await using event = await cuda.Event.create();
  expect(() => event.native.record(wrong(event.native))).toThrow(/a stream of device 0/);
  expect(() => event.native.record(wrong(Object.create(stream.native)))).toThrow(/a stream of device 0/);
  const query = stream.native.query as () => boolean;
  expect(() => query.call(event.native)).toThrow(TypeError);
  const NativeStream = (stream.native as Wrong).constructor;
  expect(() => new NativeStream().query()).toThrow(expect.objectContaining({ code: "ERR_CUDA_IPC_CLOSED" }));
});
