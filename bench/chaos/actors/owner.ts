/** An owner, or a standby that becomes one. */
import { Owner, type Standby, type Version } from "../../../lib/index.js";
import { inputs, matrixOf, outputs, setName, tensorName } from "../content.js";
import type { LedgerView, Surplus } from "../messages.js";
import { openDescriptors, surplusDescriptors, warmUp } from "./descriptors.js";
import { note, serve } from "./serve.js";

let owner: Owner | undefined;
let standby: Standby<Owner> | undefined;

warmUp();
const descriptorsBefore = openDescriptors();

function own(next: Owner): void {
  owner = next;
  owner.on("handedover", () => note("handed over"));
  owner.on("error", (error) => note("error", String(error)));
  owner.on("lost", ({ number }) => note("lost", `version ${number}`));
  owner.on("refusedoffer", (error) => note("refusedoffer", String(error)));
  owner.on("peererror", (error) => note("peererror", String(error)));
}

function standBy(next: Standby<Owner>): void {
  standby = next;
  standby.on("overtaken", () => note("overtaken"));
  standby.on("error", (error) => note("error", String(error)));
  standby.owner.then(
    (owner) => {
      own(owner);
      note("owner");
    },
    () => {},
  );
}

function published(version: Version): { id: string; number: number } {
  const { id, number } = version;
  return { id, number };
}

const commands = {
  /** Its program has been read, and the rest will be quick. */
  ready(): void {},

  async listen(socket: string): Promise<void> {
    own(await Owner.listen({ socket }));
  },

  async standby(socket: string): Promise<void> {
    standBy(await Owner.standby({ socket }));
  },

  /** One or the other, whoever comes first. */
  async listenOrStandBy(socket: string): Promise<void> {
    const started = await Owner.listen({ socket, orStandby: true });
    if (!(started instanceof Owner)) {
      standBy(started);
      return;
    }
    own(started);
    note("owner");
  },

  async takeOver(socket: string): Promise<void> {
    own(await Owner.takeOver({ socket }));
  },

  standsBy(): boolean {
    return standby !== undefined && owner === undefined;
  },

  /** How many versions a standby has the memory of. */
  mirrored(): number {
    return standby!.versions;
  },

  /** Publishes a content, from a file or from memory. */
  async load(content: number, file: string | undefined) {
    const memory = {
      [tensorName]: { dtype: "F32", shape: [outputs, inputs], data: matrixOf(content) },
    } as const;
    return published(await owner!.load(setName, file ?? memory, { sharing: "vmm" }));
  },

  /** Keeps the current version, and says which it is. */
  pinCurrent() {
    const version = owner!.current(setName)!;
    version.pin();
    return published(version);
  },

  /** Makes a pinned version current again. It is not pinned any more then. */
  async rollback(id: string) {
    const version = await owner!.rollback(setName, id);
    version.unpin();
    return published(version);
  },

  /** The numbers of versions that were given back, and of those that were not. */
  async whenRecovered(): Promise<{ restored: number[]; lost: number[] }> {
    const { restored, lost } = await owner!.whenRecovered();
    return { restored: restored.map(({ number }) => number), lost: lost.map(({ number }) => number) };
  },

  ledger(): LedgerView {
    const versions = owner!.versions().map(({ id, number, state, refCount, refCountExact, holders }) => ({
      ...{ id, number, state, refCount, exact: refCountExact },
      holders: holders.map(({ pid, leases }) => ({ pid, leases })),
    }));
    return { recovering: owner!.recovering, versions };
  },

  /** Ends in good order; what is left open then. */
  async close(): Promise<Surplus> {
    await (owner ?? standby)?.close();
    return surplusDescriptors(descriptorsBefore);
  },
};
export type OwnerCommands = typeof commands;

serve(commands);
