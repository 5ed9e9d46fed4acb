/** HTTP/1.x requests, read from bytes: what the stats page, the metrics and monitor-uri need (RFC 9112). Pure; nothing here throws. */

export interface HttpRequest {
  method: string;
  /** Path and query as they were sent. */
  target: string;
  headers: Map<string, string>;
  body: string;
  keepAlive: boolean;
  /** Bytes of the whole request. */
  length: number;
}

const HEAD_MAX = 16 * 1024;
const BODY_MAX = 64 * 1024;

/** The first request of `text` (latin1); "more" when it is not whole, a status when it is none. */
export function readRequest(text: string): HttpRequest | "more" | 400 | 413 | 501 {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return text.length > HEAD_MAX ? 400 : plausible(text) ? "more" : 400;
  const lines = text.slice(0, end).split("\r\n");
  const first = /^([A-Z]+) (\S+) HTTP\/1\.([01])$/.exec(lines[0]!);
  if (first === null) return 400;
  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":");
    if (colon <= 0) return 400;
    headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  if (headers.has("transfer-encoding")) return 501;
  const size = headers.get("content-length") ?? "0";
  if (!/^\d{1,9}$/.test(size)) return 400;
  const length = end + 4 + Number(size);
  if (Number(size) > BODY_MAX) return 413;
  if (text.length < length) return "more";
  const connection = (headers.get("connection") ?? "").toLowerCase();
  const keepAlive = first[3] === "1" ? !connection.includes("close") : connection.includes("keep-alive");
  return { method: first[1]!, target: first[2]!, headers, body: text.slice(end + 4, length), keepAlive, length };
}
function plausible(text: string): boolean {
  return /^[A-Z]{0,16}( |$)/.test(text);
}

export interface HttpAnswer {
  status: number;
  headers: [string, string][];
  body: string;
}

const REASON: Record<number, string> = {
  200: "OK", 301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect",
  308: "Permanent Redirect", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
  408: "Request Time-out", 413: "Payload Too Large", 429: "Too Many Requests", 500: "Internal Server Error", 501: "Not Implemented",
  502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Time-out",
}; // prettier-ignore
export function reasonOf(status: number): string {
  return REASON[status] ?? "Status";
}

/** A short page in the original's manner. */
export function plainAnswer(status: number, text: string, headers: [string, string][] = []): HttpAnswer {
  const body = `<html><body><h1>${status} ${reasonOf(status)}</h1>\n${text}\n</body></html>\n`;
  return { status, headers: [["cache-control", "no-cache"], ["content-type", "text/html"], ...headers], body }; // prettier-ignore
}
/** The bytes of an answer; a HEAD gets no body. */
export function encodeAnswer(a: HttpAnswer, head: boolean, keepAlive: boolean): Buffer {
  const body = Buffer.from(a.body, "utf8");
  const lines = [
    `HTTP/1.1 ${a.status} ${reasonOf(a.status)}`,
    `content-length: ${body.length}`,
    ...a.headers.map(([k, v]) => `${k}: ${v}`),
  ];
  if (!keepAlive) lines.push("connection: close");
  const top = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  return head ? top : Buffer.concat([top, body]);
}
