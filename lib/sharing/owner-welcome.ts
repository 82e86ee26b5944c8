import { CudaIpcError } from "../errors.js";
import { native } from "../native.js";
import type { EncodedMessage } from "../wire/encode.js";
import { type Welcome, welcomeMessage } from "../wire/server.js";
import type { Recovery } from "./recovery.js";
import { software } from "./software.js";
import { processStartTime } from "./start-time.js";

/** How the owner answers a client's hello. */
export class OwnerWelcome {
  private encoded: { provider: string; message: EncodedMessage } | undefined;

  constructor(
    private readonly ownerId: string,
    private readonly recovery: Recovery | undefined,
  ) {}

  /** Without a recovery it is the same for every client: checked and encoded once for the provider that is chosen. */
  for(clientProvider: string): Welcome | EncodedMessage {
    assertSameProvider(clientProvider);
    const { ownerId, recovery } = this;
    const provider = native.chosenProvider();
    if (recovery === undefined && this.encoded?.provider === provider) return this.encoded.message;
    const welcome = {
      owner: { id: ownerId, pid: process.pid, startTime: processStartTime() },
      server: software,
      driver: { provider, version: null },
      recovering: recovery?.active ?? false,
      wanted: recovery?.wanted() ?? [],
    };
    if (recovery !== undefined) return welcome;
    const message = welcomeMessage(welcome);
    this.encoded = { provider, message };
    return message;
  }
}

/** Memory of one provider means nothing to the other: told here, it is not told by a failed import. */
function assertSameProvider(provider: string): void {
  const own = native.chosenProvider();
  // "none" is who only asks, and maps nothing.
  if (provider === own || provider === "none") return;
  throw new CudaIpcError(
    "ERR_CUDA_IPC_PROVIDER",
    `The owner runs on the driver "${own}", this process on "${provider}". Choose the same one for both: CUDA_IPC_DRIVER=${own}, or { driver: "${own}" }.`,
    { details: { owner: own, client: provider } },
  );
}
