import { createHash } from "node:crypto";
import { type ManifestTensor, packTensors } from "../wire/manifest.js";

/** 128 bits that are others for any other list of tensors. */
export function manifestDigest(tensors: readonly ManifestTensor[]): string {
  const columns = JSON.stringify(Object.values(packTensors(tensors)));
  return createHash("sha256").update(columns).digest("hex").slice(0, 32);
}
