/**
 * `option httpchk` and `http-check` lines (HAProxy configuration 4.2). COLD. They become the rules of tcp-check: connect, send, and `http` for
 * what is expected of the answer (proxy/core/http_check.ts). Log-format patterns are taken as plain text; variables have no reader;
 * send-state and conditions on headers by anything but equality are not there, which is warned of.
 */
import type { Context } from "./haproxy_context.ts";
import type { CheckStatus, HttpExpect, HttpRequest, ProxyConfig, TcpCheckConnect, TcpCheckRule } from "./haproxy_model.ts";
import { connectRule, readRegex } from "./haproxy_tcp_check.ts";

/** What is said of a section while its lines are read. */
export interface HttpCheckConfig {
  request: HttpRequest;
  /** connect, send and http rules as written. */
  steps: (TcpCheckConnect | { kind: "request"; request: Partial<HttpRequest> } | HttpExpect)[];
  disableOn404: boolean;
}
export function newHttpCheck(d: HttpCheckConfig | undefined): HttpCheckConfig {
  const request: HttpRequest = { method: "OPTIONS", uri: "/", version: "HTTP/1.0", headers: [], body: "" };
  return { request: { ...(d?.request ?? request) }, steps: [...(d?.steps ?? [])], disableOn404: d?.disableOn404 ?? false };
}

/** `option httpchk [[METHOD] URI [VERSION]]`. */
export function parseHttpchk(c: Context): void {
  const p = c.proxy!;
  const [, , first, second, third] = c.args;
  p.check = "httpchk";
  const r = p.httpCheck.request;
  r.method = second === undefined ? "OPTIONS" : first!;
  r.uri = second ?? first ?? "/";
  r.headers = [];
  r.body = "";
  if (third === undefined) {
    r.version = "HTTP/1.0";
    return;
  }
  // Headers, and a body, used to be hidden behind the version.
  const lines = third.split(/\r\n/);
  r.version = lines[0]!;
  if (lines.length === 1) return;
  c.warnTight("'option httpchk' : hiding headers or body at the end of the version string is deprecated. Please, consider to use 'http-check send' directive instead."); // prettier-ignore
  const end = lines.indexOf("", 1);
  for (const line of lines.slice(1, end < 0 ? undefined : end)) {
    const colon = line.indexOf(":");
    if (colon > 0) r.headers.push([line.slice(0, colon), line.slice(colon + 1).trim()]);
  }
  if (end >= 0) r.body = lines.slice(end + 1).join("\r\n");
}

export function parseHttpCheck(c: Context): void {
  const p = c.proxy!;
  const what = c.args[1] ?? "";
  const fail = (text: string): void => c.alert(`'http-check ${what}' : ${text}.`);
  const { steps } = p.httpCheck;
  switch (what) {
    case "disable-on-404":
      p.httpCheck.disableOn404 = true;
      return;
    case "send-state":
      return c.warn("'http-check send-state' is read but not applied by redisha.");
    case "comment":
      return;
    case "connect": {
      const rule = connectRule(c, steps.length > 0 && steps[0]!.kind !== "connect" ? [newExpect(c)] : []);
      if (typeof rule === "string") return fail(rule);
      steps.push(rule);
      return;
    }
    case "send": {
      const request = sendRule(c);
      if (typeof request === "string") return fail(request);
      steps.push({ kind: "request", request });
      return;
    }
    case "expect": {
      const rule = expectRule(c);
      if (typeof rule === "string") return fail(rule);
      steps.push(rule);
      return;
    }
    default:
      if (/^(set-var|set-var-fmt|unset-var)\(/.test(what)) return;
      c.alert(
        `'http-check' only supports 'disable-on-404', 'send-state', 'comment', 'connect', 'send', 'expect', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)'. but got '${what}'`,
      );
  }
}

function sendRule(c: Context): Partial<HttpRequest> | string {
  const a = c.args;
  const r: Partial<HttpRequest> = {};
  for (let i = 2; i < a.length; i++) {
    const word = a[i]!;
    const value = a[i + 1];
    const key = { meth: "method", uri: "uri", "uri-lf": "uri", ver: "version", body: "body", "body-lf": "body" }[word] as "uri" | undefined;
    if (key !== undefined) {
      if (value === undefined) return `'${word}' expects a string as argument.`;
      r[key] = value;
      i++;
    } else if (word === "hdr") {
      if (value === undefined || a[i + 2] === undefined) return "'hdr' expects <name> and <value> as arguments";
      r.headers = [...(r.headers ?? []), [value, a[i + 2]!]];
      i += 2;
    } else if (word === "comment") i++;
    else return `expects 'comment', 'meth', 'uri', 'uri-lf', 'ver', 'hdr', 'body' or 'body-lf' but got '${word}' as argument.`;
  }
  return r;
}

const FORMS = ["status", "rstatus", "string", "rstring", "string-lf", "hdr", "fhdr"];

function expectRule(c: Context): HttpExpect | string {
  const a = c.args;
  const r = newExpect(c);
  let i = 2;
  for (; i < a.length; i++) {
    let word = a[i]!;
    const value = a[i + 1] ?? "";
    while (word.startsWith("!")) {
      r.inverse = !r.inverse;
      word = word.slice(1);
    }
    if (word === "") continue;
    if (FORMS.includes(word)) return pattern(c, r, word, i + 1);
    if (word === "comment") r.comment = value;
    else if (word === "ok-status") r.okStatus = value as CheckStatus;
    else if (word === "error-status") r.errorStatus = value as CheckStatus;
    else if (word === "on-success") r.onSuccess = value;
    else if (word === "on-error") r.onError = value;
    else if (!["min-recv", "tout-status", "status-code"].includes(word))
      return `'only supports min-recv, [!]string', '[!]rstring', '[!]string-lf', '[!]status', '[!]rstatus', [!]hdr, [!]fhdr or comment but got '${word}' as argument.`;
    i++;
  }
  return "expects at least a matching pattern as arguments";
}
function newExpect(c: { file: string; line: number }): HttpExpect {
  return { kind: "http", file: c.file, line: c.line, form: "status", text: "", header: "", regex: null, ranges: [], inverse: false, disableOn404: false, okStatus: "", errorStatus: "", onSuccess: "", onError: "", comment: "" }; // prettier-ignore
}
function pattern(c: Context, r: HttpExpect, form: string, at: number): HttpExpect | string {
  const text = c.args[at] ?? "";
  if (text === "") return `'${form}' expects a <pattern> as argument`;
  r.form = form === "string-lf" ? "string" : form === "fhdr" ? "hdr" : (form as HttpExpect["form"]);
  r.text = text;
  if (form === "hdr" || form === "fhdr") return headerPattern(c, r, at, form);
  if (form === "status") {
    for (const part of text.split(",")) {
      const m = /^(\d{3})(?:-(\d{3}))?$/.exec(part);
      if (m === null) return `invalid character '${/[^0-9]/.exec(part)?.[0] ?? ""}' in the list of status codes`;
      r.ranges.push([Number(m[1]), Number(m[2] ?? m[1])]);
    }
  } else if (form === "rstatus" || form === "rstring") {
    const regex = readRegex(text);
    if (typeof regex === "string") return regex;
    r.regex = regex;
  }
  return trailing(c, r, at + 1);
}
/** `hdr name N [value V]`. */
function headerPattern(c: Context, r: HttpExpect, at: number, form: string): HttpExpect | string {
  const a = c.args;
  if (a[at] !== "name" || a[at + 1] === undefined) return `'${form}' expects at the name keyword as first argument followed by a pattern`;
  if (a[at + 1]!.startsWith("-")) return `'${form} name ${a[at + 1]}' is not available in redisha`;
  r.header = a[at + 1]!.toLowerCase();
  r.text = "";
  if (a[at + 2] !== "value") return trailing(c, r, at + 2);
  if (a[at + 3] === undefined || a[at + 3]!.startsWith("-")) return `'${form} value ${a[at + 3] ?? ""}' is not available in redisha`;
  r.text = a[at + 3]!;
  return trailing(c, r, at + 4);
}
/** What may stand behind the pattern: a comment and the like. */
function trailing(c: Context, r: HttpExpect, at: number): HttpExpect | string {
  if (c.args[at] === "comment") r.comment = c.args[at + 1] ?? "";
  return r;
}

/** The bytes of a request, as latin1. HTTP/1.1 asks for the connection's end, which HTTP/1.0 has anyway. */
function requestText(r: HttpRequest): string {
  const lines = [`${r.method} ${r.uri} ${r.version}`, ...r.headers.map(([n, v]) => `${n.toLowerCase()}: ${v}`)];
  if (r.body !== "") lines.push(`content-length: ${r.body.length}`);
  if (r.version !== "HTTP/1.0") lines.push("connection: close");
  return `${lines.join("\r\n")}\r\n\r\n${r.body}`;
}

/** The steps as rules of a check: with a connect in front, and a request and an expectation where none is written. */
export function httpRules(p: ProxyConfig): TcpCheckRule[] {
  const { request, steps, disableOn404 } = p.httpCheck;
  const rules: TcpCheckRule[] = [];
  const place = { file: "", line: 0 };
  const connect: TcpCheckConnect = { kind: "connect", ...place, useDefault: true, port: 0, host: "", ssl: false, sni: "", alpn: "", sendProxy: false, linger: false, comment: "", implicit: true }; // prettier-ignore
  const ask = (more: Partial<HttpRequest>): void =>
    void rules.push({ kind: "send", ...place, form: "string", data: requestText({ ...request, ...more }), comment: "" });
  if (steps[0]?.kind !== "connect") rules.push(connect);
  if (!steps.some((s) => s.kind === "request")) {
    for (const s of steps) if (s.kind === "connect") rules.push(s);
    ask({});
    for (const s of steps) if (s.kind === "http") rules.push({ ...s, disableOn404 });
  } else
    for (const s of steps) {
      if (s.kind === "request") ask(s.request);
      else rules.push(s.kind === "http" ? { ...s, disableOn404 } : s);
    }
  if (rules.at(-1)!.kind !== "http") rules.push({ ...newExpect(place), ranges: [[200, 399]], disableOn404 });
  return rules;
}
