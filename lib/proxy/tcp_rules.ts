/**
 * `tcp-request` rules (HAProxy configuration 4.2): of a frontend for each connection, before anything is read of it (connection) and once a
 * PROXY header has told who it is (session); of both sections for each session (content). The first rule whose condition holds decides.
 * WARM: once a connection, nothing at all without rules.
 */
import type { TcpRule } from "../config/haproxy_model.ts";
import type { Conn } from "../net/conn.ts";
import { commonFetch, type Asker } from "./assign.ts";
import { isTrue } from "./core/acl.ts";
import type { Engine } from "./engine.ts";
import type { Backend, Frontend } from "./state.ts";

/** What the rules say: go on, first read a PROXY header, end it, end it without a word. */
export type Verdict = "accept" | "expect-proxy" | "reject" | "silent-drop";

function judge(engine: Engine, rules: readonly TcpRule[], asker: Asker): Verdict {
  let verdict: Verdict = "accept";
  for (const rule of rules) {
    if (rule.action === "none" || !isTrue(rule.condition, commonFetch(engine, asker))) continue;
    // Rules go on behind it.
    if (rule.action === "expect-proxy") verdict = "expect-proxy";
    else return rule.action === "accept" ? verdict : rule.action;
  }
  return verdict;
}

/** A connection as it comes in; false when it has been ended. `header`: it has to begin with a PROXY header. */
export function admitsConnection(
  engine: Engine,
  front: Frontend,
  conn: Conn<any>,
  kind: "connection" | "session",
  header: () => void,
): boolean {
  const rules = front.config.tcpRules[kind];
  if (rules.length === 0) return true;
  const verdict = judge(engine, rules, { front, back: null, client: conn });
  if (verdict === "accept") return true;
  if (verdict === "expect-proxy") {
    header();
    return true;
  }
  engine.connections++;
  front.connections++;
  if (kind === "connection") front.denied++;
  else front.deniedSessions++;
  end(conn, verdict);
  return false;
}
function end(conn: Conn<any>, verdict: Verdict): void {
  if (verdict === "silent-drop") conn.terminate();
  else conn.close();
}

/** A session: the frontend's rules, or those of the backend that it has got. False: it is to be ended, and has been counted as denied. */
export function admitsContent(engine: Engine, asker: Asker, of: Frontend | Backend): boolean {
  const { config } = of;
  if (config.tcpRules.content.length === 0) return true;
  const verdict = judge(engine, config.tcpRules.content, asker);
  if (verdict === "accept" || verdict === "expect-proxy") return true;
  // Those of backends count there as well.
  asker.front.deniedRequests++;
  return false;
}
