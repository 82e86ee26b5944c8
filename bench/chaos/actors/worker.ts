/** Serves the layer on the newest version it has moved to. */
import { attach, type Following, follow, type Weights } from "../../../lib/index.js";
import { requestKinds, setName, tensorName, vectorOf } from "../content.js";
import type { Answer, Holding, Surplus } from "../messages.js";
import { openDescriptors, surplusDescriptors, warmUp } from "./descriptors.js";
import { Linear } from "./linear.js";
import { note, serve } from "./serve.js";

const vectors = Array.from({ length: requestKinds }, (_, kind) => vectorOf(kind));
let linear: Linear;
let following: Following;
let descriptorsBefore: Surplus = {};
let corruptNext = false;
/** A lease that is not told of, and is let go of last: a planted fault. */
let hidden: Weights | undefined;

async function answer(kind: number): Promise<Answer> {
  return following.use(async (weights) => {
    const { id, number } = weights.version;
    const output = await linear.run(weights.tensor(tensorName), vectors[kind]!);
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
    following = await follow(setName, { socket });
    following.on("moveerror", (error) => note("moveerror", String(error)));
  },

  answer,

  holding(): Holding {
    const leases = following.versions.map(({ id }) => id);
    return { moving: following.moving || leases.length > 1, leases };
  },

  /** Answers wrong once, or holds a lease that it does not tell of. */
  async plant(fault: "wrong-answer" | "lease"): Promise<void> {
    if (fault === "wrong-answer") corruptNext = true;
    else
      await following.use(async (weights) => {
        hidden = await weights.retain();
      });
  },

  /** Lets go of a lease that was planted. */
  async unplant(): Promise<void> {
    await hidden?.release();
  },

  /** Lets go of all leases; what is left open then. */
  async release(): Promise<Surplus> {
    await following.dispose();
    return surplusDescriptors(descriptorsBefore);
  },

  async finish(): Promise<void> {
    await hidden?.release();
    await linear.dispose();
  },
};
export type WorkerCommands = typeof commands;

serve(commands);
