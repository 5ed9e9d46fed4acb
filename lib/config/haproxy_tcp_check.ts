/**
 * `tcp-check` rules (HAProxy configuration 4.2 "tcp-check"): connect, send, expect, comment, variables. COLD.
 * The rules are only read here; proxy/core/tcp_check.ts runs them. Log-format patterns (send-lf, string-lf) are taken as plain text.
 */
import type { Context } from "./haproxy_context.ts";
import { isIP } from "node:net";
import type { CheckStatus, TcpCheckConnect, TcpCheckExpect, TcpCheckRule, TcpCheckSend } from "./haproxy_model.ts";
import { looseInt, readAddress } from "./haproxy_units.ts";

const ONLY =
  "'only supports min-recv, '[!]binary', '[!]string', '[!]rstring', '[!]string-lf''[!]rbinary', '[!]binary-lf' or comment but got";
const FORMS = ["string", "rstring", "binary", "rbinary", "string-lf", "binary-lf"];
const OK: CheckStatus[] = ["L4OK", "L6OK", "L7OK", "L7OKC"];
const BAD: CheckStatus[] = ["L4CON", "L6RSP", "L7RSP", "L7STS"];
const TOUT: CheckStatus[] = ["L4TOUT", "L6TOUT", "L7TOUT"];

/** A `tcp-check` line. Adds a rule to c.proxy unless something is reported. */
export function parseTcpCheck(c: Context): void {
  const what = c.args[1] ?? "";
  const rules = c.proxy!.tcpCheck;
  // Rules inherited from defaults are replaced by the first one of the section's own.
  if (rules.length > 0 && rules[0]!.file !== "" && !ownRules.has(rules)) {
    c.proxy!.tcpCheck = [];
    ownRules.add(c.proxy!.tcpCheck);
    return parseTcpCheck(c);
  }
  ownRules.add(rules);
  const fail = (text: string): void => c.alert(`'tcp-check ${what}' : ${text}.`);
  let rule: TcpCheckRule | string;
  if (what === "connect") rule = connectRule(c, rules);
  else if (what === "send" || what === "send-binary" || what === "send-lf" || what === "send-binary-lf") rule = send(c, what);
  else if (what === "expect") rule = expectRule(c);
  else if (what === "comment") {
    if (c.args[2] === undefined) return fail("expects a string as argument");
    rule = { kind: "comment", file: c.file, line: c.line, comment: c.args[2] };
  } else if (/^(set-var|set-var-fmt|unset-var)\(/.test(what)) {
    const name = what.slice(what.indexOf("(") + 1).replace(/[,)].*$/, "");
    if (!/^(proc|sess|txn|req|res|check)\./.test(name))
      return fail(
        `'${what.slice(0, what.indexOf("("))}' : invalid variable name '${name}'. A variable name must be start by its scope. The scope can be 'proc', 'sess', 'txn', 'req', 'res' or 'check'`,
      );
    return; // variables have no reader in our checks
  } else
    return c.alert(
      `'tcp-check' only supports 'comment', 'connect', 'send', 'send-binary', 'expect', 'set-var-fmt(*)', 'set-var(*)', 'unset-var(*)'. but got '${what}'`,
    );
  if (typeof rule === "string") return fail(rule);
  rules.push(rule);
}
/** Rule lists that a section has begun itself, as opposed to copies of what defaults said. */
const ownRules = new WeakSet<TcpCheckRule[]>();

/** `connect ...` of tcp-check and http-check. */
export function connectRule(c: Context, before: TcpCheckRule[]): TcpCheckConnect | string {
  const a = c.args;
  const r: TcpCheckConnect = {
    kind: "connect",
    file: c.file,
    line: c.line,
    useDefault: false,
    port: 0,
    host: "",
    ssl: false,
    sni: "",
    alpn: "",
    sendProxy: false,
    linger: false,
    comment: "",
    implicit: false,
  };
  const first = before.find((x) => x.kind !== "comment");
  if (first !== undefined && first.kind !== "connect")
    return "first step MUST also be a 'connect', optionally preceded by a 'set-var', an 'unset-var' or a 'comment', when there is a 'connect' step in the tcp-check ruleset";
  for (let i = 2; i < a.length; i++) {
    const value = a[i + 1];
    switch (a[i]) {
      case "default":
        r.useDefault = true;
        break;
      case "port": {
        if (value === undefined) return "'port' expects a port number or a sample expression as argument.";
        if (!/^\d+$/.test(value)) return `error detected while parsing port expression : unknown fetch method '${value}'`;
        if (Number(value) < 1 || Number(value) > 65535)
          return `expects a valid TCP port (from range 1 to 65535) or a sample expression, got ${value}.`;
        r.port = Number(value);
        i++;
        break;
      }
      case "addr": {
        if (value === undefined) return "'addr' expects <ipv4|ipv6> as argument.";
        const x = readAddress(value);
        const host = typeof x === "string" ? "" : isIP(value) === 6 ? value : x.host;
        if (isIP(host) === 0) return `'addr' : invalid address: '${value}' in '${value}'\n.`;
        r.host = host;
        i++;
        break;
      }
      case "send-proxy":
        r.sendProxy = true;
        break;
      case "ssl":
        r.ssl = true;
        break;
      case "linger":
        r.linger = true;
        break;
      case "via-socks4":
        break;
      case "sni":
      case "alpn":
      case "comment":
        if (value === undefined) return `'${a[i]}' expects a string as argument.`;
        r[a[i] as "sni"] = value;
        i++;
        break;
      case "proto":
        i++;
        break;
      default:
        return `expects 'comment', 'port', 'addr', 'send-proxy', 'ssl', 'sni', 'alpn' or 'via-socks4', 'linger', 'default' but got '${a[i]}' as argument.`;
    }
  }
  return r;
}

function send(c: Context, what: string): TcpCheckSend | string {
  const a = c.args;
  const text = a[2] ?? "";
  if (text === "") return `'${what.includes("binary") ? "binary" : "string"}' expects a send as argument`;
  let data = text;
  if (what === "send-binary") {
    const bytes = hexBytes(text);
    if (bytes.error !== "") return `'${text}' invalid binary string (${bytes.error}).\n`;
    data = bytes.data;
  }
  let comment = "";
  for (let i = 3; i < a.length; i++) {
    if (a[i] !== "comment") return `expects 'comment' but got '${a[i]}' as argument.`;
    if (a[i + 1] === undefined) return "'comment' expects a string as argument.";
    comment = a[++i]!;
  }
  return { kind: "send", file: c.file, line: c.line, form: what.includes("binary") ? "binary" : "string", data, comment };
}

function expectRule(c: Context): TcpCheckExpect | string {
  const a = c.args;
  if (a[2] === undefined) return "expects at least a matching pattern as arguments";
  const r: TcpCheckExpect = {
    kind: "expect",
    file: c.file,
    line: c.line,
    form: "string",
    text: "",
    bytes: "",
    regex: null,
    inverse: false,
    minRecv: -1,
    okStatus: "L7OK",
    errorStatus: "L7RSP",
    toutStatus: "L7TOUT",
    onSuccess: "",
    onError: "",
    comment: "",
  };
  let found = false;
  for (let i = 2; i < a.length; i++) {
    let word = a[i]!;
    const value = a[i + 1];
    const status = (name: string, of: CheckStatus[], key: "okStatus" | "errorStatus" | "toutStatus"): string => {
      if (value === undefined) return `'${name}' expects a string as argument`;
      if (!of.includes(value as CheckStatus)) {
        const last = of[of.length - 1];
        return `'${name}' only supports ${of
          .slice(0, -1)
          .map((s) => `'${s}'`)
          .join(", ")} or '${last}' status (got '${value}').`;
      }
      r[key] = value as CheckStatus;
      i++;
      return "";
    };
    let error = "";
    if (word === "min-recv") {
      if (value === undefined || !/^[+-]?\d/.test(value)) {
        if (value === undefined) return "'min-recv' expects a integer as argument";
      }
      const n = looseInt(value!);
      if (n < -1) return "'min-recv' expects -1 or an integer from 0 to INT_MAX";
      r.minRecv = n;
      i++;
    } else if (word === "comment" || word === "on-success" || word === "on-error") {
      if (value === undefined) return `'${word}' expects a string as argument`;
      r[word === "comment" ? "comment" : word === "on-success" ? "onSuccess" : "onError"] = value;
      i++;
    } else if (word === "ok-status") error = status(word, OK, "okStatus");
    else if (word === "error-status") error = status(word, BAD, "errorStatus");
    else if (word === "tout-status") error = status(word, TOUT, "toutStatus");
    else if (word === "status-code") {
      if (value === undefined) return "'status-code' expects an expression as argument";
      if (!/^[a-z_.]+\(/.test(value)) return `error detected while parsing status-code expression : unknown fetch method '${value}'`;
      i++;
    } else {
      while (word.startsWith("!")) {
        r.inverse = !r.inverse;
        word = word.slice(1);
        if (word === "") word = a[++i] ?? "";
      }
      if (!FORMS.includes(word)) return `${ONLY} '${word}' as argument.`;
      if (found) return "only on pattern expected";
      found = true;
      const text = a[++i] ?? "";
      if (text === "") return `'${word}' expects a <pattern> as argument`;
      r.form = word as TcpCheckExpect["form"];
      error = pattern(r, text);
    }
    if (error !== "") return error;
  }
  return found ? r : `${ONLY} '' as argument.`;
}

/** Fills in what is compared: bytes or a regular expression. */
function pattern(r: TcpCheckExpect, text: string): string {
  r.text = text;
  if (r.form === "binary") {
    const bytes = hexBytes(text);
    if (bytes.error !== "") return `invalid binary string (${bytes.error})`;
    r.bytes = bytes.data;
  } else if (r.form === "rstring" || r.form === "rbinary") {
    const regex = readRegex(text);
    if (typeof regex === "string") return regex;
    r.regex = regex;
  } else r.bytes = text;
  return "";
}
/** A regular expression, or what is wrong with it. */
export function readRegex(text: string): RegExp | string {
  try {
    return new RegExp(text);
  } catch (error) {
    const m = /^\((\??)/.test(text) && text.split("(").length > text.split(")").length;
    return `regex '${text}' is invalid (error=${m ? "missing closing parenthesis" : regexReason(error as Error)}, erroffset=${text.length})`;
  }
}
function regexReason(error: Error): string {
  return /character class/.test(error.message) ? "missing terminating ] for character class" : error.message.replace(/^.*: /, "");
}

function hexBytes(text: string): { data: string; error: string } {
  const bad = /[^0-9a-fA-F]/.exec(text);
  if (text.length % 2 === 1) return { data: "", error: "an even number of hex digit is expected" };
  if (bad !== null) return { data: "", error: `an hex digit is expected (found '${bad[0]}')` };
  return { data: Buffer.from(text, "hex").toString("latin1"), error: "" };
}
