import { native } from "../native.js";
import type { Attachment } from "./attachment.js";

const slotBytes = 8;
/** What one allocation is cut into. */
const slotsPerBlock = 32;

/** Small places in device memory for results of kernels, on one device: kept until the lease they serve ends. */
class Scratch {
  private readonly blocks: bigint[] = [];
  private readonly free: bigint[] = [];
  private growing: Promise<void> | undefined;

  constructor(private readonly device: number) {}

  async take(): Promise<bigint> {
    for (;;) {
      const slot = this.free.pop();
      if (slot !== undefined) return slot;
      this.growing ??= this.grow().finally(() => {
        this.growing = undefined;
      });
      await this.growing;
    }
  }

  giveBack(slot: bigint): void {
    this.free.push(slot);
  }

  private async grow(): Promise<void> {
    const block = await native.memAlloc(this.device, slotBytes * slotsPerBlock);
    this.blocks.push(block);
    for (let n = 0; n < slotsPerBlock; n++) this.free.push(block + BigInt(n * slotBytes));
  }

  async close(): Promise<void> {
    await Promise.all(this.blocks.splice(0).map((block) => native.memFree(this.device, block)));
  }
}

const scratches = new WeakMap<Attachment, Map<number, Scratch>>();

/** Lends eight bytes of device memory for one operation on what the attachment has mapped. */
export async function withScratch<T>(
  attachment: Attachment,
  device: number,
  operation: (pointer: bigint) => Promise<T>,
): Promise<T> {
  let ofDevice = scratches.get(attachment);
  if (ofDevice === undefined) {
    ofDevice = new Map();
    scratches.set(attachment, ofDevice);
  }
  let scratch = ofDevice.get(device);
  if (scratch === undefined) {
    const made = new Scratch(device);
    attachment.beforeEnd(() => made.close());
    ofDevice.set(device, made);
    scratch = made;
  }
  const slot = await scratch.take();
  try {
    return await operation(slot);
  } finally {
    scratch.giveBack(slot);
  }
}
