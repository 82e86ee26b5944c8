import { Random } from "./random.js";

export interface Step<Event> {
  event: Event;
  /** From the end of the step before it. */
  pauseMs: number;
  /** Of the event's own choices. */
  seed: number;
  /** Whether everything comes to rest, and is compared, before the next step. */
  settles: boolean;
}

const longestPauseMs = 400;

/**
 * Steps without end, determined by the seed: rounds in which every event happens once, in random order. One in four
 * steps is followed by the next at once, while its consequences are still under way.
 */
export function* schedule<Event>(seed: number, events: readonly Event[]): Generator<Step<Event>, never> {
  const random = new Random(seed);
  for (;;) {
    for (const event of random.shuffled(events)) {
      const settles = random.next() < 0.75;
      yield {
        event,
        pauseMs: Math.round(random.next() * longestPauseMs),
        seed: random.below(2 ** 32),
        settles,
      };
    }
  }
}
