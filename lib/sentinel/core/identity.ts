/**
 * Whose program a peer is, and of which set. Pure. `SENTINEL IDENTITY` goes to every peer as soon as there is a connection; ours answers with
 * pairs of name and value, an original with "unknown subcommand". Hellos stay as they are: originals refuse any with more than eight fields.
 *
 * Sentinels with different `cluster-id`s have met by mistake (an address that was given to somebody else, a copied file): they forget each
 * other and neither follows the other's configuration. One without an id, and every original, is taken for one of the set.
 */
import { ReplyError, pairs, type Reply } from "../../resp/reply.ts";
import { release } from "./links.ts";
import { log, type Peer, type State, type Turn } from "./state.ts";
import type { Answer } from "./types.ts";

/** So many strangers are remembered; their hellos go by unread. */
const STRANGERS = 1000;

/** The answer to SENTINEL IDENTITY: who we are, for others of our kind. */
export function identity(s: State): Answer {
  return { map: ["server", "redisha", "myid", s.myid, "cluster-id", s.clusterId] };
}

export function onIdentity(t: Turn, p: Peer, reply: Reply): void {
  if (reply instanceof ReplyError && reply.text.startsWith("ERR unknown subcommand")) p.link.program = "original";
  if (!Array.isArray(reply)) return;
  const said = pairs(reply);
  p.link.program = said["server"] === "redisha" ? "ours" : "original";
  const theirs = said["cluster-id"] ?? "";
  const { s } = t;
  if (s.clusterId === "" || theirs === "" || theirs === s.clusterId) return;
  log(t, "warning", `Sentinel ${p.runid} at ${p.addr.host}:${p.addr.port} belongs to '${theirs}', not to '${s.clusterId}': it is ignored`);
  if (s.strangers.size < STRANGERS) s.strangers.add(p.runid);
  removeEverywhere(t, p.runid);
}

/** Takes a Sentinel off the lists of all masters. */
export function removeEverywhere(t: Turn, runid: string): void {
  for (const m of t.s.masters.values()) {
    const p = m.peers.get(runid);
    if (p === undefined) continue;
    release(t, p);
    m.peers.delete(runid);
  }
}

/** Until it has said of which set it is, a Sentinel's configuration is not followed where that matters. */
export function mayLead(s: State, p: Peer): boolean {
  return s.clusterId === "" || p.link.program !== "unknown";
}
