/**
 * Rounds in which everybody has a turn, and turns at going first: whatever drifts meets all alike. Each round begins one
 * further on than the one before, so that nobody is always in the middle.
 */
export async function alternate(
  rounds: number,
  sides: readonly (() => Promise<unknown>)[],
  onRound?: (round: number) => void,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    onRound?.(round);
    for (let turn = 0; turn < sides.length; turn++) await sides[(round + turn) % sides.length]!();
  }
}
