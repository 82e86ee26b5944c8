import { hasUtf8Form } from "../formats/text.js";
import type { TensorEntry } from "../loading/plan.js";
import { native } from "../native.js";
import { ManifestFile } from "../wire/manifest-file.js";

/** The tensors of a version that is mapped: none of them is an object before it is asked for. */
export class TensorList {
  private opened: ManifestFile | undefined;

  /** The content of a manifest file, checked: see `native.openManifest`. */
  constructor(private readonly content: ArrayBuffer) {}

  get size(): number {
    return this.file.size;
  }

  /** In the order of the version's source. */
  names(): string[] {
    return Array.from({ length: this.size }, (_, index) => this.file.name(index));
  }

  has(name: string): boolean {
    return this.indexOf(name) !== undefined;
  }

  get(name: string): TensorEntry | undefined {
    const index = this.indexOf(name);
    return index === undefined ? undefined : this.at(index);
  }

  /** In the order of the version's source. */
  all(): TensorEntry[] {
    return Array.from({ length: this.size }, (_, index) => this.at(index));
  }

  /** Whatever has no UTF-8 form names nothing. */
  private indexOf(name: unknown): number | undefined {
    if (typeof name !== "string" || !hasUtf8Form(name)) return undefined;
    return native.findTensor(this.content, name);
  }

  private at(index: number): TensorEntry {
    // Of a dtype that is not known it would not have been opened.
    return this.file.tensor(index) as TensorEntry;
  }

  // Not for an attach to wait for.
  private get file(): ManifestFile {
    this.opened ??= new ManifestFile(this.content);
    return this.opened;
  }
}
