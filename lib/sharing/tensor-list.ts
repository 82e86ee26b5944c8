import type { Dtype } from "../formats/dtypes.js";
import type { TensorEntry } from "../loading/plan.js";
import type { NativeManifest } from "../native.js";

/** The tensors of a version that is mapped: none of them is an object before it is asked for. */
export class TensorList {
  constructor(private readonly manifest: NativeManifest) {}

  get size(): number {
    return this.manifest.size;
  }

  /** In the order of the version's source. */
  names(): string[] {
    return this.manifest.names();
  }

  has(name: string): boolean {
    return this.manifest.find(name) !== undefined;
  }

  get(name: string): TensorEntry | undefined {
    const index = this.manifest.find(name);
    return index === undefined ? undefined : this.at(index);
  }

  /** In the order of the version's source. */
  *[Symbol.iterator](): IterableIterator<TensorEntry> {
    for (let index = 0; index < this.size; index++) yield this.at(index);
  }

  private at(index: number): TensorEntry {
    const [name, dtype, slab, offset, bytes, ...shape] = this.manifest.tensor(index);
    // Of a dtype that is not known it would not have been opened.
    return { name, dtype: dtype as Dtype, shape, slab, offset, bytes };
  }
}
