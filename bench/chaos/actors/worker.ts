/** Serves the layer on the newest version it has moved to. */
import { attach, type Tensor, type Weights } from "../../../lib/index.js";
import { requestKinds, setName, tensorName, vectorOf } from "../content.js";
import type { Answer, Holding, Surplus } from "../messages.js";
import { openDescriptors, surplusDescriptors, warmUp } from "./descriptors.js";
import { Follower } from "./follower.js";
import { Linear } from "./linear.js";
import { serve } from "./serve.js";

const vectors = Array.from({ length: requestKinds }, (_, kind) => vectorOf(kind));
let linear: Linear;
let follower: Follower | undefined;
let descriptorsBefore: Surplus = {};
let corruptNext = false;
/** A lease that is not told of, and is let go of last: a planted fault. */
let hidden: Weights | undefined;

async function answer(kind: number): Promise<Answer> {
  return follower!.use(async (weights) => {
    const { id, number } = weights.version;
    const output = await linear.run(weights.tensor(tensorName) satisfies Tensor, vectors[kind]!);
    if (corruptNext) {
      corruptNext = false;
      output[0]! += 1;
    }
    return { version: id, number, output };
  });
}

const commands = {
  /** Attaches, and serves from then on. */
  async begin(socket: string, concurrency: number): Promise<void> {
    warmUp();
    linear = await Linear.create(concurrency);
    // The first attach opens what every process opens once.
    const first = await attach(setName, { socket });
    await linear.run(first.tensor(tensorName), vectors[0]!);
    await first.release();
    descriptorsBefore = openDescriptors();
    follower = await Follower.start(socket);
  },

  answer,

  holding(): Holding {
    return follower!.holding();
  },

  /** Answers wrong once, or holds a lease that it does not tell of. */
  async plant(fault: "wrong-answer" | "lease"): Promise<void> {
    if (fault === "wrong-answer") corruptNext = true;
    else
      await follower!.use(async (weights) => {
        hidden = await weights.retain();
      });
  },

  /** Lets go of a lease that was planted. */
  async unplant(): Promise<void> {
    await hidden?.release();
  },

  /** Lets go of all leases; what is left open then. */
  async release(): Promise<Surplus> {
    await follower!.stop();
    return surplusDescriptors(descriptorsBefore);
  },

  async finish(): Promise<void> {
    await hidden?.release();
    await linear.dispose();
  },
};
export type WorkerCommands = typeof commands;

serve(commands);
