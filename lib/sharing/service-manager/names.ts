import { crypto } from "../../crypto.js";

/** The names under which an owner's descriptors are stored: none of anybody else's looks like one. */
export class StoreNames {
  private readonly prefix: string;

  /** Owners of several sockets may live in one service, and share its store. */
  constructor(socket: string) {
    this.prefix = `cuda-ipc.${digest(socket)}.`;
  }

  includes(name: string): boolean {
    return name.startsWith(this.prefix);
  }

  tensors(version: string): string {
    return `${this.prefix}tensors.${version}`;
  }

  slab(id: string): string {
    return `${this.prefix}slab.${id}`;
  }

  /** All that is stored of a version: the list of its tensors, then its slabs in their order. */
  of({ id, slabs }: { readonly id: string; readonly slabs: readonly { readonly id: string }[] }): string[] {
    return [this.tensors(id), ...slabs.map((slab) => this.slab(slab.id))];
  }
}

/** Whether some owner, of whichever socket, has given the name. */
export function isStoreName(name: string): boolean {
  return /^cuda-ipc\.[0-9a-f]{16}\.(tensors|slab)\.[0-9a-f]{32}$/.test(name);
}

/** So much of it as tells apart what is in one service. */
export function digest(text: string): string {
  return crypto().createHash("sha256").update(text).digest("hex").slice(0, 16);
}
