/** The owner's process: publishes, and notes when its ledger ends a lease. */
import { Owner } from "../../lib/index.js";
import { now } from "../common/clock.js";
import { serve } from "../common/serve.js";

export interface LeaseEnd {
  at: bigint;
  reason: string;
}

let owner: Owner;
const ends: LeaseEnd[] = [];
let wake = () => {};

const commands = {
  async listen(socket: string): Promise<void> {
    owner = await Owner.listen({ socket });
    owner.on("leaseended", ({ reason }) => {
      ends.push({ at: now(), reason });
      wake();
    });
  },
  async publish(name: string, file: string, sharing: "vmm" | "ipc", device: number) {
    const started = now();
    const version = await owner.load(name, file, { sharing, device });
    return { bytes: version.bytes, tensors: version.tensors, seconds: Number(now() - started) / 1e9 };
  },
  refCount: (name: string): number => owner.current(name)!.refCount,
  forgetLeaseEnds(): void {
    ends.length = 0;
  },
  /** The next end of a lease that was not returned yet. */
  async leaseEnd(): Promise<LeaseEnd> {
    while (ends.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return ends.shift()!;
  },
  async retire(name: string): Promise<void> {
    const version = owner.current(name)!;
    await owner.retire(name);
    await version.whenFreed();
  },
  close: (): Promise<void> => owner.close(),
};

export type OwnerCommands = typeof commands;

serve(commands);
