/**
 * Between two ways to hold a name: here text is bytes, one char each (latin1); JavaScript's file functions, argv and the working directory
 * are in Unicode. For ASCII names the two are the same. Pure.
 */
// oxlint-disable-next-line no-control-regex
const ASCII = /^[\x00-\x7f]*$/;

/** A path of a configuration file as file functions want it. */
export function systemPath(bytes: string): string {
  return ASCII.test(bytes) ? bytes : Buffer.from(bytes, "latin1").toString("utf8");
}

/** An argument, a working directory, as configuration keeps it. */
export function byteText(unicode: string): string {
  return ASCII.test(unicode) ? unicode : Buffer.from(unicode, "utf8").toString("latin1");
}
