/**
 * `acl` lines and conditions (HAProxy configuration 7): the layer 4 part that Redis set-ups use (nbsrv, srv_is_up, src, ports). COLD.
 * Other fetches are accepted by name and are false, with one warning a line; unknown names are errors as in HAProxy.
 */
import { readFileSync } from "node:fs";
import type { Context } from "./haproxy_context.ts";
import type { AclTerm, AclTest, Condition, ProxyConfig } from "./haproxy_model.ts";

/** Fetches that proxy/core can answer. */
export const FETCHES = new Set([
  "nbsrv", "srv_is_up", "be_conn", "fe_conn", "srv_conn", "queue", "connslots", "srv_weight", "src", "src_port", "dst", "dst_port",
  "always_true", "always_false", "bool", "int", "env", "dst_conn", "be_sess_rate", "avg_queue", "path", "url", "query", "method", "hdr",
  "req.hdr", "http_auth",
]); // prettier-ignore
/** Known to HAProxy, never true here. */
const FOREIGN =
  /^(path|url|hdr|req|res|method|base|cook|ssl_|http_|payload|wait_end|sc\d?_|src_|table_|stopping|date|rand|var|proc|nbproc|hostname|txn|capture|shdr|scook|urlp|unique-id|query|fc_|bc_|be_|fe_|srv_|so_)/;
const OPERATORS = ["eq", "ge", "gt", "le", "lt"];
const PREDEFINED: Record<string, AclTest> = {
  TRUE: test("always_true"),
  FALSE: test("always_false"),
  WAIT_END: test("wait_end"),
  REQ_CONTENT: test("req.len"),
  RDP_COOKIE: test("req.rdp_cookie_cnt"),
  HTTP: test("req.proto_http"),
  LOCALHOST: { ...test("src"), values: ["127.0.0.1/8", "::1"] },
};

function test(fetch: string): AclTest {
  return { fetch, argument: "", match: "", ignoreCase: false, operator: "eq", values: [] };
}

/** Words of a test: `fetch(arg) [-i] [-m how] [op] value...`. An error text in HAProxy's words instead when it makes no sense. */
export function readTest(words: string[]): AclTest | string {
  const first = words[0];
  if (first === undefined || first === "") return "missing fetch method in ACL expression ''";
  const m = /^([A-Za-z0-9_.-]+)(?:\(([^)]*)\))?(.*)$/.exec(first);
  const name = m?.[1] ?? first;
  if (m === null || (!FETCHES.has(name) && !FOREIGN.test(name))) return `unknown fetch method '${name}' in ACL expression '${first}'`;
  // path_beg, hdr_end and their like: the fetch and how it is compared in one word.
  const joined = /^(path|url|hdr)_(beg|end|sub|reg|dir|dom)$/.exec(name);
  const t = { ...test(joined?.[1] ?? name), argument: m[2] ?? "" };
  if (joined !== null) t.match = joined[2] === "dir" || joined[2] === "dom" ? "sub" : joined[2]!;
  const fromFiles: string[] = [];
  let i = 1;
  for (; i < words.length && words[i]!.startsWith("-") && !/^-\d/.test(words[i]!); i++) {
    if (words[i] === "-i") t.ignoreCase = true;
    else if (words[i] === "-m") t.match = words[++i] ?? "";
    else if (words[i] === "-f") {
      const file = words[++i] ?? "";
      const lines = patterns(file);
      if (lines === null) return `failed to open pattern file <${file}>`;
      fromFiles.push(...lines);
    } else if (words[i] === "--") {
      i++;
      break;
    } else if (words[i] === "-M" || words[i] === "-u") i++;
  }
  if (OPERATORS.includes(words[i] ?? "")) t.operator = words[i++] as AclTest["operator"];
  t.values = [...fromFiles, ...words.slice(i)];
  return t;
}

/** The lines of a pattern file, without empty ones and comments; null when there is no such file. */
function patterns(file: string): string[] | null {
  try {
    const lines = readFileSync(file, "latin1").split("\n");
    return lines.map((l) => l.trim()).filter((l) => l !== "" && !l.startsWith("#"));
  } catch {
    return null;
  }
}

export function parseAcl(c: Context, p: ProxyConfig): void {
  if (p.kind === "defaults" && p.name === "") return c.alert("'acl' not allowed in anonymous 'defaults' section.");
  const name = c.args[1] ?? "";
  const bad = /[^A-Za-z0-9_.:-]/.exec(name);
  if (bad !== null) return c.alert(`character '${bad[0]}' is not permitted in acl name '${name}'.`);
  if (name.toLowerCase() === "or")
    return c.alert("acl name 'or' will never match. 'or' is used to express a logical disjunction within a condition.");
  const t = readTest(c.args.slice(2));
  if (typeof t === "string") return c.alert(`error detected while parsing ACL '${name}' : ${t}.`);
  if (!FETCHES.has(t.fetch)) c.warn(`acl '${name}' : '${t.fetch}' is not available in redisha and never matches.`);
  p.acls.set(name, [...(p.acls.get(name) ?? []), t]);
}

/** A condition: terms joined by nothing (and), `||` or `or`; `!` negates; `{ ... }` is an anonymous test. */
export function parseCondition(p: ProxyConfig, words: string[], unless: boolean): Condition | null | string {
  if (words.length === 0) return null; // HAProxy takes a bare `if` as no condition at all
  const anyOf: AclTerm[][] = [[]];
  for (let i = 0; i < words.length; i++) {
    let w = words[i]!;
    if (w === "||" || w.toLowerCase() === "or") {
      anyOf.push([]);
      continue;
    }
    let negate = false;
    while (w.startsWith("!")) {
      negate = !negate;
      w = w.slice(1);
      if (w === "") w = words[++i] ?? "";
    }
    if (w === "{") {
      const end = words.indexOf("}", i);
      if (end < 0) return "missing closing '}' in condition";
      const t = readTest(words.slice(i + 1, end));
      if (typeof t === "string") return t;
      anyOf.at(-1)!.push({ negate, tests: [t] });
      i = end;
      continue;
    }
    const named = p.acls.get(w) ?? (PREDEFINED[w] ? [PREDEFINED[w]] : undefined);
    if (named === undefined) return `no such ACL : '${w}'`;
    anyOf.at(-1)!.push({ negate, tests: named });
  }
  if (anyOf.some((all) => all.length === 0)) return "missing term in condition";
  return { unless, anyOf };
}
