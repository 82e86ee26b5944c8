/** What a measure is, and what it is given. */
import type { PeerName } from "../common/compile.js";
import type { Profile } from "./profile.js";
import type { Labels, PeerState, Unit } from "./results.js";

export interface Measure {
  name: string;
  /** One line for --list and the results. */
  title: string;
  /** More than this is a hang. */
  limitSeconds: number;
  /** The peers in C++ that it runs where they could be built, which is done before it begins. */
  peers?: readonly PeerName[];
  /** Those without which there is nothing to measure. */
  needs?: readonly PeerName[];
  run(bench: Bench): Promise<void>;
}

/** Thrown by a measure that cannot be taken here; not a failure. */
export class Skip extends Error {}

export interface Bench {
  readonly driver: "libcuda" | "host";
  readonly device: number;
  readonly profile: Profile;
  /** For files that several measures use, such as models; see dataset.ts. */
  readonly shared: string;
  /** This measure's own folder. */
  readonly scratch: string;
  record(by: string, what: string, unit: Unit, labels: Labels, samples: readonly number[]): void;
  /** What goes on now, for people. */
  step(text: string): void;
  /** Something that a reader of the results must know. */
  note(text: string): void;
  peer(state: PeerState): void;
  /** Whether one of the peers in C++ is there. */
  built(peer: PeerName): boolean;
  /** A group of processes of its own runs, or does not any more: it must not outlive this measure. */
  group(pid: number, runs: boolean): void;
}
