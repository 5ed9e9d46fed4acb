/**
 * May a server that starts as a master take writes? An old master that comes back must not be a second one, so a server that knows of
 * Sentinels asks them first (spec/sentinel.md 6, pain 5). Pure: the caller asks, waits and gives up. Uses the same count as the authority.
 */
import type { Count } from "./majority.ts";
import { showAddress } from "./hello.ts";

export type BootVerdict = {
  /** `open`: take writes. `fenced`: a majority names another master. `ask`: nobody can tell yet. */
  state: "open" | "fenced" | "ask";
  reason: string;
};

/** `me` is this server's id in the servers that `count` was given. */
export function bootVerdict(counted: Count, me: string): BootVerdict {
  switch (counted.situation) {
    case "never":
      return { state: "open", reason: "no Sentinel watches this server" };
    case "gone":
      return { state: "open", reason: "all known Sentinels refuse connections" };
    case "majority": {
      const claim = counted.agreed!;
      if (claim.serverId === me)
        return { state: "open", reason: `${claim.voters.length}/${counted.known} Sentinels say this server is the master` };
      return {
        state: "fenced",
        reason: `${claim.voters.length}/${counted.known} Sentinels say ${showAddress(claim.address)} is the master`,
      };
    }
    case "minority":
    case "unreachable":
      return { state: "ask", reason: `${counted.answering} of ${counted.known} Sentinels answer, ${counted.needed} are needed` };
  }
}
