/** The owner's process: publishes, and notes when its ledger ends a lease. */
import { cudaMemGetInfo, type LoadOptions, Owner, type OwnerOptions } from "../../lib/index.js";
import { now } from "../common/clock.js";
import { serve } from "../common/serve.js";

export interface LeaseEnd {
  at: bigint;
  reason: string;
}

export interface Published {
  bytes: number;
  tensors: number;
  /** From the call of `owner.load` to its promise's resolution. */
  seconds: number;
}

let owner: Owner;
const ends: LeaseEnd[] = [];
let wake = () => {};

const commands = {
  /** cuInit and the device's primary context. */
  async initialize(device: number): Promise<void> {
    await cudaMemGetInfo({ device });
  },
  async listen(socket: string, options: OwnerOptions = {}): Promise<void> {
    owner = await Owner.listen({ ...options, socket });
    owner.on("leaseended", ({ reason }) => {
      ends.push({ at: now(), reason });
      wake();
    });
  },
  async publish(
    name: string,
    file: string,
    sharing: "vmm" | "ipc",
    device: number,
    options: LoadOptions = {},
  ): Promise<Published> {
    const started = now();
    const version = await owner.load(name, file, { ...options, sharing, device });
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
  /** Withdraws a set while it is in use, and says when its memory has been let go of. */
  async retireWhileHeld(name: string): Promise<void> {
    const version = owner.current(name)!;
    await owner.retire(name);
    freed = version.whenFreed().then(now);
  },
  /** When the version of the last `retireWhileHeld` was let go of. */
  freedAt: (): Promise<bigint> => freed,
  cpuMicroseconds(): number {
    const { user, system } = process.cpuUsage();
    return user + system;
  },
  /** Settles when what the owner before had is whole again, or lost. */
  async whenRecovered(): Promise<{ restored: number; lost: number }> {
    const { restored, lost } = await owner.whenRecovered();
    return { restored: restored.length, lost: lost.length };
  },
  close: (): Promise<void> => owner.close(),
};

let freed: Promise<bigint>;

export type OwnerCommands = typeof commands;

serve(commands);
