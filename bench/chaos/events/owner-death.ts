import { setTimeout as delay } from "node:timers/promises";
import type { Scene } from "./event.js";

export interface Death {
  /** For people. */
  text: string;
  /** It died during a load, or soon after. */
  loading: boolean;
  /** That load had answered. */
  published: boolean;
}

/** Kills the owner, perhaps during a load or soon after, and with it what `along` kills. */
export async function killOwner(
  { fleet, findings, random }: Scene,
  along: () => Promise<unknown> = async () => {},
): Promise<Death> {
  const { owner } = fleet;
  const name = `${owner.name} (pid ${owner.pid})`;
  const loading = random.next() < 0.5;
  const after = 1.5 * random.next() * fleet.loadMs;
  const kill = async () => {
    if (loading) await delay(after);
    findings.figures.kills.owner++;
    await Promise.all([owner.kill(), along()]);
  };
  if (!loading) {
    await kill();
    return { text: name, loading, published: false };
  }
  const published = await fleet.loadThatMayEnd(kill);
  const done = published ? ", which was done" : "";
  return { text: `${name}, ${Math.round(after)} ms into a load${done}`, loading, published };
}

/**
 * Waits until the new owner has made up for the dead one. When all was at rest, nothing that somebody held may be
 * lost: that is every version but one that was just being published, and with a standby that one too. Returns what
 * has happened, for people.
 */
export async function aftermath(
  { fleet, findings, rested }: Scene,
  { text, loading, published, mirrored }: Death & { mirrored: boolean },
  success: string,
): Promise<string> {
  const { lost, texts } = await fleet.recover();
  const mayLose = !rested || (loading && !(mirrored && published));
  if (lost.length > 0 && !mayLose) {
    findings.fault(`Version ${lost.join(", ")} was lost with an owner although somebody else held it.`);
  }
  return [text, success, ...texts].join("; ");
}
