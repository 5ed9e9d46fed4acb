/**
 * Whose program a peer is. Pure. `SENTINEL IDENTITY` goes to every peer as soon as there is a connection; ours answers with pairs of name and
 * value, an original with "unknown subcommand". Hellos stay as they are: originals refuse any with more than eight fields.
 */
import { ReplyError, pairs, type Reply } from "../../resp/reply.ts";
import type { Peer, State } from "./state.ts";
import type { Answer } from "./types.ts";

/** The answer to SENTINEL IDENTITY: who we are, for others of our kind. */
export function identity(s: State): Answer {
  return { map: ["server", "redisha", "myid", s.myid] };
}

export function onIdentity(p: Peer, reply: Reply): void {
  if (Array.isArray(reply)) p.link.program = pairs(reply)["server"] === "redisha" ? "ours" : "original";
  else if (reply instanceof ReplyError && reply.text.startsWith("ERR unknown subcommand")) p.link.program = "original";
}
