import { ownerChecks } from "../wire/check.js";
import { FrameDecoder } from "../wire/framing.js";
import { packTensors } from "../wire/manifest.js";
import type { OwnerMessages } from "../wire/messages.js";
import { randomId } from "./ids.js";
import { checkManifest } from "./manifest.js";

/** V8 optimizes a loop after thousands of turns. Once it has, a manifest takes a third of the time. */
const timesPerRound = 10;
const tensors = 256;

/** Each call of what it returns looks over a manifest of a common kind some times: a millisecond or so. */
export function manifestRehearsal(): () => void {
  const slabs = [{ bytes: 2 ** 40 }];
  const manifest = { type: "manifest", version: randomId(), tensors: columns() };
  const { frame } = ownerChecks.encoded(manifest);
  return () => {
    for (let n = 0; n < timesPerRound; n++) {
      new FrameDecoder().push(frame, [], ({ message }) => {
        ownerChecks.check(message);
        checkManifest((message as OwnerMessages["manifest"]).tensors, slabs);
      });
    }
  };
}

/** Matrices and vectors, up to where offsets are no small integers to V8 any more. */
function columns() {
  const dtypes = ["BF16", "F16", "F32", "U8"];
  const size: Record<string, number> = { BF16: 2, F16: 2, F32: 4, U8: 1 };
  let offset = 0;
  return packTensors(
    Array.from({ length: tensors }, (_, n) => {
      const dtype = dtypes[n % dtypes.length]!;
      const shape = n % 3 === 0 ? [4096] : [4096, 4096];
      const bytes = size[dtype]! * shape.reduce((product, dimension) => product * dimension, 1);
      const tensor = { name: `layers.${n}.weight`, dtype, shape, slab: 0, offset, bytes };
      offset += bytes;
      return tensor;
    }),
  );
}
