/**
 * `tcp-request connection|session|content` and `tcp-response` (HAProxy configuration 4.2): accept, reject, silent-drop and expect-proxy with
 * conditions are applied (proxy/tcp_rules.ts); other actions are read and warned of. So is a rule whose condition asks for what redisha does
 * not know of a connection (contents, stick tables): it is left out, so that `reject unless` does not lock everybody out. COLD.
 */
import { FETCHES, parseCondition } from "./haproxy_acl.ts";
import type { Context } from "./haproxy_context.ts";
import { isBackend, isFrontend, kindText, type Condition, type ProxyConfig, type TcpAction, type TcpRuleLists } from "./haproxy_model.ts";

const APPLIED = ["accept", "reject", "silent-drop", "expect-proxy"];
const LAYER4 =
  "'accept', 'reject', 'capture', 'expect-proxy', 'expect-netscaler-cip', 'track-sc0' ... 'track-sc2', 'sc-inc-gpc(*)', 'sc-inc-gpc0(*)', 'sc-inc-gpc1(*)', 'sc-set-gpt(*)', 'sc-set-gpt0(*)', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)', 'set-dst', 'set-dst-port', 'set-mark', 'set-src', 'set-src-port', 'set-tos', 'silent-drop'";
/** What each kind of rule may do, as findings list it. */
const ACTIONS: Record<string, string> = {
  connection: LAYER4,
  session: LAYER4,
  content:
    "'accept', 'reject', 'capture', 'expect-proxy', 'expect-netscaler-cip', 'track-sc0' ... 'track-sc2', 'ot-group', 'set-log-level', 'set-nice', 'switch-mode', 'use-service', 'sc-inc-gpc(*)', 'sc-inc-gpc0(*)', 'sc-inc-gpc1(*)', 'sc-set-gpt(*)', 'sc-set-gpt0(*)', 'send-spoe-group', 'do-resolve(*)', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)', 'set-src', 'set-src-port', 'set-dst', 'set-dst-port', 'set-mark', 'set-tos', 'silent-drop', 'set-priority-class', 'set-priority-offset'",
  response:
    "'accept', 'close', 'reject', 'ot-group', 'set-log-level', 'set-nice', 'sc-inc-gpc(*)', 'sc-inc-gpc0(*)', 'sc-inc-gpc1(*)', 'sc-set-gpt(*)', 'sc-set-gpt0(*)', 'send-spoe-group', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)', 'set-mark', 'set-tos', 'silent-drop'",
};

/** `set-var(txn.x)` and `track-sc1` are among `set-var(*)` and `track-sc0 ... track-sc2`. */
function isAction(kind: string, word: string): boolean {
  const name = word.replace(/\(.*\)$/, "(*)").replace(/^track-sc[0-2]$/, "track-sc0");
  return name !== "" && ACTIONS[kind]!.includes(`'${name}'`);
}
function unknownFetch(condition: Condition | null): string | undefined {
  return condition?.anyOf
    .flat()
    .flatMap((t) => t.tests)
    .find((t) => !FETCHES.has(t.fetch))?.fetch;
}

/** True when the section may have such rules; what is wrong is said. */
function mayStand(c: Context, p: ProxyConfig, what: string, side: "frontend" | "backend" | "any"): boolean {
  if (p.kind === "defaults") {
    if (p.name !== "") return true;
    c.alert(`${what} is not allowed in anonymous 'defaults' sections`);
    return false;
  }
  if (side === "frontend" && !isFrontend(p)) c.alert(`${what} is not allowed because ${kindText(p)} ${p.name} is not a frontend`);
  else if (side === "backend" && !isBackend(p)) c.alert(`${what} is only allowed in 'backend' sections or 'defaults' section with a name`);
  else return true;
  return false;
}

function inspectDelay(c: Context, p: ProxyConfig, name: string): void {
  const bad = /^\d+(us|ms|s|m|h|d)?/.exec(c.args[2] ?? "");
  const rest = (c.args[2] ?? "").slice(bad?.[0].length ?? 0);
  const where = `'${name} inspect-delay' expects a positive delay in milliseconds, in ${kindText(p)} '${p.name}'`;
  if (c.args[2] === undefined) return c.alert(where);
  if (rest !== "") return c.alert(`${where} (unexpected character '${rest[0]}')`);
  // Nothing waits for contents here: the delay has no say.
  if (p.tcpRules.hasDelay) return c.warn(`ignoring ${name} inspect-delay (was already defined) in ${kindText(p)} '${p.name}'`);
  p.tcpRules.hasDelay = true;
}

/** The condition at args[at], or no condition; undefined when it was reported. */
function condition(c: Context, p: ProxyConfig, at: number, name: string): Condition | null | undefined {
  const word = c.args[at];
  const where = `in ${kindText(p)} '${p.name}'`;
  if (word === undefined) return null;
  if (word !== "if" && word !== "unless") return void c.alert(`'${name}' only accepts 'if' or 'unless', ${where} (got '${word}')`);
  const read = parseCondition(p, c.args.slice(at + 1), word === "unless");
  if (typeof read === "string") return void c.alert(`'${name}' : error detected ${where} while parsing '${word}' condition : ${read}`);
  return read;
}

export function parseTcpRequest(c: Context): void {
  const p = c.proxy!;
  const kind = c.args[1] ?? "";
  const where = `in ${kindText(p)} '${p.name}'`;
  if (kind === "") return c.alert(`missing argument for 'tcp-request' ${where}`);
  if (kind === "inspect-delay") {
    if (mayStand(c, p, "tcp-request inspect-delay", "any")) inspectDelay(c, p, "tcp-request");
    return;
  }
  if (kind !== "connection" && kind !== "session" && kind !== "content")
    return c.alert(`'tcp-request' expects 'inspect-delay', 'connection', or 'content' ${where} (got '${kind}')`);
  if (!mayStand(c, p, `tcp-request ${kind}`, kind === "content" ? "any" : "frontend")) return;
  const word = c.args[2] ?? "";
  if (!isAction(kind, word)) return c.alert(`'tcp-request ${kind}' expects ${ACTIONS[kind]} ${where} (got '${word}').\n`);
  const name = `tcp-request ${kind} ${word}`;
  if (!APPLIED.includes(word)) return c.warn(`'${name}' is read but not applied by redisha.`);
  if (word === "expect-proxy" && c.args[3] !== "layer4")
    return c.alert(`'${name}' only supports 'layer4' ${where} (got '${c.args[3] ?? ""}')`);
  const read = condition(c, p, word === "expect-proxy" ? 4 : 3, name);
  if (read === undefined) return;
  const later = kind === "connection" && p.tcpRules.session.length > 0 ? "session" : "content";
  if (kind !== "content" && p.tcpRules[later].length > 0)
    c.warn(`a 'tcp-request' rule placed after a 'tcp-request ${later}' rule will still be processed before.`);
  keep(c, p.tcpRules, kind, word as TcpAction, read, name);
}
function keep(
  c: Context,
  lists: TcpRuleLists,
  kind: "connection" | "session" | "content",
  action: TcpAction,
  read: Condition | null,
  name: string,
): void {
  const foreign = unknownFetch(read);
  if (foreign !== undefined) c.warn(`'${name}' is read but not applied by redisha ('${foreign}' is not available).`);
  // It still counts as one that stands there.
  lists[kind].push({ file: c.file, line: c.line, action: foreign === undefined ? action : "none", condition: read });
}

export function parseTcpResponse(c: Context): void {
  const p = c.proxy!;
  const kind = c.args[1] ?? "";
  const where = `in ${kindText(p)} '${p.name}'`;
  if (kind === "") return c.alert(`missing argument for 'tcp-response' ${where}`);
  if (kind !== "inspect-delay" && kind !== "content")
    return c.alert(`'tcp-response' expects 'inspect-delay' or 'content' ${where} (got '${kind}')`);
  if (!mayStand(c, p, `tcp-response ${kind}`, "backend") || kind === "inspect-delay") return;
  const word = c.args[2] ?? "";
  if (!isAction("response", word)) return c.alert(`'tcp-response content' expects ${ACTIONS["response"]} ${where} (got '${word}').\n`);
  const name = `tcp-response content ${word}`;
  if (/^(accept|reject|close|silent-drop)$/.test(word) && condition(c, p, 3, name) === undefined) return;
  if (word !== "accept") c.warn(`'${name}' is read but not applied by redisha (responses are not inspected).`);
}
