import { randomFillSync } from "node:crypto";
import { writeSafetensors } from "../../lib/index.js";

/** 16 decoder layers of an 8B-class model, its embedding of 32,000 tokens and its last norm, in bf16. */
export const defaultTensors = 146;
export const defaultBytes = 7_241_736_192;

const hidden = 4096;
const inner = 14336;
const keyValue = 1024;
const layer: [name: string, elements: number][] = [
  ["input_layernorm.weight", hidden],
  ["self_attn.q_proj.weight", hidden * hidden],
  ["self_attn.k_proj.weight", keyValue * hidden],
  ["self_attn.v_proj.weight", keyValue * hidden],
  ["self_attn.o_proj.weight", hidden * hidden],
  ["post_attention_layernorm.weight", hidden],
  ["mlp.gate_proj.weight", inner * hidden],
  ["mlp.up_proj.weight", inner * hidden],
  ["mlp.down_proj.weight", hidden * inner],
];

/** The tensor whose bytes show that what was attached is what was published. */
export const witness = "model.norm.weight";

export interface Plan {
  name: string;
  elements: number;
}

/** So many tensors of that model, scaled to a total size. Every tensor is a multiple of 256 bytes. */
export function planTensors(bytes: number, count: number): Plan[] {
  const names: Plan[] = [{ name: witness, elements: hidden }];
  if (count > 1) names.push({ name: "model.embed_tokens.weight", elements: 32_000 * hidden });
  for (let i = 0; names.length < count; i++) {
    const [name, elements] = layer[i % layer.length]!;
    names.push({ name: `model.layers.${Math.floor(i / layer.length)}.${name}`, elements });
  }
  const total = names.reduce((sum, tensor) => sum + tensor.elements, 0);
  const scale = bytes / 2 / total;
  return names.map(({ name, elements }) => ({
    name,
    elements: Math.max(128, Math.round((elements * scale) / 128) * 128),
  }));
}

export const plannedBytes = (plan: readonly Plan[]): number =>
  plan.reduce((sum, { elements }) => sum + 2 * elements, 0);

const chunkBytes = 16 << 20;

/** Writes the model with bytes that differ from chunk to chunk. */
export async function writeModel(file: string, plan: readonly Plan[]): Promise<void> {
  const chunk = randomFillSync(Buffer.alloc(chunkBytes));
  let written = 0;
  function* data(bytes: number) {
    for (let left = bytes; left > 0; left -= chunkBytes) {
      chunk.writeUInt32LE(written++, 0);
      yield chunk.subarray(0, Math.min(left, chunkBytes));
    }
  }
  await writeSafetensors(
    file,
    plan.map(({ name, elements }) => ({
      name,
      dtype: "BF16",
      shape: [elements / 128, 128],
      data: () => data(2 * elements),
    })),
  );
}
