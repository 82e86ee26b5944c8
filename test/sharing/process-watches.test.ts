// What an owner notes of a process when that connects holds for as long as it is connected.
import { expect, test } from "vitest";
import { CudaIpcError } from "../../dist/lib/errors.js";
import type { NativeChannel, NativeProcess } from "../../dist/lib/native.js";
import { ProcessWatches } from "../../dist/lib/sharing/process-watches.js";

const peer = { pid: 7, uid: 1, gid: 1, startTime: "9", command: "worker" };
const channel = (watchPeer: NativeChannel["watchPeer"]) => ({ peer, watchPeer }) as NativeChannel;
const failing = (code: "ERR_CUDA_IPC_FD_LIMIT" | "ERR_CUDA_IPC_PEER_UNPROVEN") =>
  channel(() => {
    throw new CudaIpcError(code, "not now");
  });
const watchable = channel(() => ({ close() {} }) as NativeProcess);

test("a process that could not be watched for want of a descriptor is not taken for one that never can be", () => {
  const watches = new ProcessWatches(() => {});
  expect(() => watches.identify(failing("ERR_CUDA_IPC_FD_LIMIT"))).toThrow("not now");
  expect(watches.identify(watchable).proven).toBe(true);
  watches.close();
});

test("one that never can be is known for that", () => {
  const watches = new ProcessWatches(() => {});
  expect(watches.identify(failing("ERR_CUDA_IPC_PEER_UNPROVEN")).proven).toBe(false);
  watches.close();
});
