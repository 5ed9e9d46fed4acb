/**
 * What an HTTP check makes of the answer (HAProxy configuration 4.2 "http-check expect"). Pure. The steps are those of tcp_check.ts: connect,
 * send, and an `http` rule for each expectation; config/haproxy_http_check.ts builds the request, this file reads the response.
 */
import type { HttpExpect } from "../../config/haproxy_model.ts";
import type { StatusName } from "./status.ts";

export interface HttpVerdict {
  passed: boolean;
  status: StatusName;
  code: number;
  info: string;
}

interface Response {
  code: number;
  reason: string;
  headers: [string, string][];
  body: string;
  /** All of its body is there. */
  whole: boolean;
}

/** "more": it may yet become one; null: it is none. */
function readResponse(text: string, last: boolean): Response | "more" | null {
  const start = "HTTP/1.";
  if (!text.startsWith(start.slice(0, text.length))) return null;
  // The status line, headers if there are any, an empty line.
  const head = /^HTTP\/1\.\d (\d{3})(?: ([^\r\n]*))?\r?\n((?:[^\r\n]+\r?\n)*)\r?\n/.exec(text);
  if (head === null) return last ? null : "more";
  const headers: [string, string][] = [];
  for (const line of head[3]!.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.push([line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()]);
  }
  const body = text.slice(head[0].length);
  const of = (name: string): string | undefined => headers.find(([n]) => n === name)?.[1];
  const length = Number(of("content-length") ?? Number.NaN);
  const chunked = of("transfer-encoding")?.toLowerCase() === "chunked";
  const whole = last || (chunked ? /(^|\r\n)0\r\n(.*\r\n)*\r\n$/.test(body) : body.length >= length);
  return { code: Number(head[1]), reason: head[2] ?? "", headers, body, whole };
}

/** What an expectation makes of what has come; null: it has to wait. `last`: no more will come. */
export function judgeResponse(rule: HttpExpect, text: string, last: boolean): HttpVerdict | null {
  const r = readResponse(text, last);
  if (r === "more") return null;
  const invalid = (info: string): HttpVerdict => ({ passed: false, status: rule.errorStatus || "L7RSP", code: 0, info });
  if (r === null) return invalid("");
  if (rule.form === "string" || rule.form === "rstring") {
    if (!r.whole) return null;
    const comment = rule.comment === "" ? "" : ` comment: ${rule.comment}`;
    if (r.body === "") return invalid(rule.onError || `HTTP content check could not find a response body${comment}`);
    const found = rule.form === "string" ? r.body.includes(rule.text) : rule.regex!.test(r.body);
    if (found === rule.inverse)
      return invalid(rule.onError || `HTTP ${found ? "check matched unwanted content" : "content check did not match"}${comment}`);
  } else {
    if (rule.disableOn404 && r.code === 404) return { passed: true, status: "L7OKC", code: 404, info: r.reason };
    if (fits(rule, r) === rule.inverse)
      return { passed: false, status: rule.errorStatus || "L7STS", code: r.code, info: rule.onError || r.reason };
  }
  return { passed: true, status: rule.okStatus || "L7OK", code: r.code, info: rule.onSuccess };
}

function fits(rule: HttpExpect, r: Response): boolean {
  switch (rule.form) {
    case "status":
      return rule.ranges.some(([from, to]) => r.code >= from && r.code <= to);
    case "rstatus":
      return rule.regex!.test(String(r.code));
    default:
      return r.headers.some(([n, v]) => n === rule.header && (rule.text === "" || v === rule.text));
  }
}
