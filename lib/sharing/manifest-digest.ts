import { crypto } from "../crypto.js";
import { type ManifestTensor, packTensors } from "../wire/manifest.js";

/** 128 bits that are others for any other list of tensors. */
export function manifestDigest(tensors: readonly ManifestTensor[]): string {
  const columns = JSON.stringify(Object.values(packTensors(tensors)));
  return crypto().createHash("sha256").update(columns).digest("hex").slice(0, 32);
}
