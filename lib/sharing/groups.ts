/** Sets of values by key; a key without values is not kept. */
export class Groups<K, V> {
  private readonly sets = new Map<K, Set<V>>();

  add(key: K, value: V): void {
    const set = this.sets.get(key);
    if (set === undefined) this.sets.set(key, new Set([value]));
    else set.add(value);
  }

  delete(key: K, value: V): void {
    const set = this.sets.get(key);
    set?.delete(value);
    if (set?.size === 0) this.sets.delete(key);
  }

  /** A copy, in the order in which they were added: what it holds may be deleted while it is walked. */
  of(key: K): V[] {
    return [...(this.sets.get(key) ?? [])];
  }

  count(key: K): number {
    return this.sets.get(key)?.size ?? 0;
  }
}
