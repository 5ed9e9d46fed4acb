/**
 * What `mode http` sections of Redis set-ups carry: the stats page, monitor-uri, the Prometheus exporter, a fixed answer (HAProxy configuration
 * 4.2 "stats ...", "monitor-uri", "http-request"). COLD. HTTP itself is not proxied; other http-request rules are said to have no effect.
 */
import { parseCondition } from "./haproxy_acl.ts";
import { belongs, type Context, F } from "./haproxy_context.ts";
import type { Condition, ProxyConfig } from "./haproxy_model.ts";
import { looseInt, readTime } from "./haproxy_units.ts";

/** The stats page of a section. */
export interface StatsConfig {
  enabled: boolean;
  uri: string;
  realm: string;
  /** `user:password`. */
  auth: string[];
  refreshMs: number;
  hideVersion: boolean;
  showNode: boolean;
  node: string;
  description: string;
  legends: boolean;
  /** Sections that are shown; empty: all. */
  scope: string[];
  /** Who may change states: true for the first rule that holds. null: nobody. */
  admin: Condition[];
  adminAlways: boolean;
}
export function newStats(): StatsConfig {
  return {
    enabled: false,
    uri: "/haproxy?stats",
    realm: "HAProxy Statistics",
    auth: [],
    refreshMs: 0,
    hideVersion: false,
    showNode: false,
    node: "",
    description: "",
    legends: false,
    scope: [],
    admin: [],
    adminAlways: false,
  };
}

/** An http-request rule that answers by itself. */
export interface HttpRule {
  kind: "metrics" | "return" | "deny" | "redirect" | "auth" | "allow";
  condition: Condition | null;
  status: number;
  contentType: string;
  body: string;
  location: string;
  /** http-request auth: the realm; who may pass is in the condition. */
  realm: string;
}

/** `if`/`unless` at args[at]; a text is an error. */
function conditionAt(c: Context, p: ProxyConfig, at: number): Condition | null | string {
  const word = c.args[at];
  if (word === undefined) return null;
  if (word !== "if" && word !== "unless") return `unexpected keyword '${word}'`;
  return parseCondition(p, c.args.slice(at + 1), word === "unless");
}

export function parseStats(c: Context): void {
  const p = c.proxy!;
  const a = c.args;
  const s = p.stats;
  const word = a[1] ?? "";
  if (word === "" || a.length < 2)
    return c.alert(
      "'stats' expects 'admin', 'uri', 'realm', 'auth', 'scope', 'enable', 'hide-version', 'show-node', 'show-desc' or 'show-legends'.",
    );
  s.enabled = true;
  switch (word) {
    case "enable":
      return;
    case "uri":
      if (a[2] === undefined) return c.alert("'uri' needs an URI prefix.");
      s.uri = a[2];
      return;
    case "realm":
      if (a[2] === undefined) return c.alert("'realm' needs an realm name.");
      s.realm = a[2];
      return;
    case "refresh": {
      const t = readTime(a[2] ?? "", "s");
      if (t.error === "unexpected") return c.alert(`unexpected character '${t.character}' in argument to stats refresh interval.`);
      if (t.error !== "") return c.alert(`timer overflow in argument '${a[2]}' to stats refresh interval.`);
      s.refreshMs = t.ms;
      return;
    }
    case "auth":
      if (a[2] === undefined) return c.alert("'auth' needs a user:password account.");
      s.auth.push(a[2]);
      return;
    case "scope":
      if (a[2] === undefined) return c.alert("'scope' needs a proxy name.");
      s.scope.push(a[2]);
      return;
    case "hide-version":
      s.hideVersion = true;
      return;
    case "show-legends":
      s.legends = true;
      return;
    case "show-modules":
      return;
    case "show-node":
      s.showNode = true;
      s.node = a[2] ?? "";
      return;
    case "show-desc":
      s.description = a.slice(2).join(" ");
      return;
    case "http-request":
      return;
    case "admin": {
      if (p.kind === "defaults") return c.alert(`'stats admin' not allowed in 'defaults' section.`);
      if (a[2] !== "if" && a[2] !== "unless") return c.alert("'stats admin' requires either 'if' or 'unless' followed by a condition.");
      const condition = conditionAt(c, p, 2);
      if (typeof condition === "string") return c.alert(`error detected while parsing a 'stats admin' rule : ${condition}.`);
      if (condition === null) s.adminAlways = true;
      else s.admin.push(condition);
      return;
    }
    default:
      return c.alert(
        `unknown stats parameter '${word}' (expects 'hide-version' , 'uri', 'realm', 'auth' or 'enable').`.replace(
          "(expects 'hide-version' , 'uri', 'realm', 'auth' or 'enable')",
          `in '${p.kind}' section`,
        ),
      );
  }
}

export function parseMonitorUri(c: Context): void {
  if (!belongs(c, F, "monitor-uri")) return;
  if (c.args[1] === undefined) return c.alert("'monitor-uri' expects an URI.");
  c.proxy!.monitorUri = c.args[1];
}

/** `monitor fail if COND`. */
export function parseMonitorFail(c: Context): void {
  const p = c.proxy!;
  if (!belongs(c, F, "monitor")) return;
  if (c.args[1] !== "fail") return c.alert("'monitor' only supports 'fail'.");
  if (c.args[2] !== "if" && c.args[2] !== "unless")
    return c.alert("'monitor fail' requires either 'if' or 'unless' followed by a condition.");
  const condition = conditionAt(c, p, 2);
  if (typeof condition === "string") return c.alert(`error detected while parsing a 'monitor fail' condition : ${condition}.`);
  if (condition !== null) p.monitorFail.push(condition);
}

/** `http-request ...`: the rules that answer; the rest is said to have no effect. */
export function parseHttpRequest(c: Context): void {
  const p = c.proxy!;
  const a = c.args;
  const rule: HttpRule = { kind: "return", condition: null, status: 200, contentType: "text/plain", body: "", location: "", realm: "" };
  let at = 2;
  switch (a[1]) {
    case "use-service":
      if (a[2] !== "prometheus-exporter") return c.warn(`service '${a[2] ?? ""}' is not there in redisha.`);
      rule.kind = "metrics";
      at = 3;
      break;
    case "return":
      for (; at < a.length && a[at] !== "if" && a[at] !== "unless"; at += 2) {
        if (a[at] === "status") rule.status = looseInt(a[at + 1] ?? "");
        else if (a[at] === "content-type") rule.contentType = a[at + 1] ?? "";
        else if (a[at] === "string" || a[at] === "lf-string") rule.body = a[at + 1] ?? "";
      }
      break;
    case "deny":
    case "reject":
      rule.kind = "deny";
      rule.status = 403;
      if (a[2] === "deny_status" || a[2] === "status") {
        rule.status = looseInt(a[3] ?? "");
        at = 4;
      }
      break;
    case "redirect":
      rule.kind = "redirect";
      rule.status = 302;
      for (; at < a.length && a[at] !== "if" && a[at] !== "unless"; at++) {
        if (a[at] === "location") rule.location = a[++at] ?? "";
        else if (a[at] === "code") rule.status = looseInt(a[++at] ?? "");
      }
      break;
    case "auth":
      rule.kind = "auth";
      rule.realm = p.name;
      if (a[2] === "realm") {
        rule.realm = a[3] ?? "";
        at = 4;
      }
      break;
    case "allow":
      rule.kind = "allow";
      break;
    default:
      return c.warn(`'http-request ${a[1] ?? ""}' is read but has no effect in redisha (HTTP is not proxied).`);
  }
  const condition = conditionAt(c, p, at);
  if (typeof condition === "string") return c.alert(`error detected while parsing an 'http-request ${a[1]}' condition : ${condition}.`);
  rule.condition = condition;
  p.httpRules.push(rule);
}
