/** Why a well-formed value of a directive is still refused: the texts are Redis' (config.c: isValid...). Pure, cold. */

function isBaseName(path: string): boolean {
  return !path.includes("/") && !path.includes("\\");
}

export function activeDefrag(on: boolean): string | null {
  if (!on) return null;
  return (
    "Active defragmentation cannot be enabled: it requires a Redis server compiled with a modified Jemalloc " +
    "like the one shipped by default with the Redis source distribution"
  );
}

export function dbFilename(name: string): string | null {
  return isBaseName(name) ? null : "dbfilename can't be a path, just a filename";
}

export function appendFilename(name: string): string | null {
  if (name === "") return "appendfilename can't be empty";
  return isBaseName(name) ? null : "appendfilename can't be a path, just a filename";
}

export function appendDirname(name: string): string | null {
  if (name === "") return "appenddirname can't be empty";
  return isBaseName(name) ? null : "appenddirname can't be a path, just a dirname";
}

export function shutdownFlags(words: string): string | null {
  const set = words.split(" ");
  return set.includes("save") && set.includes("nosave") ? "shutdown options SAVE and NOSAVE can't be used simultaneously" : null;
}

export function announcedHostname(name: string): string | null {
  if (name.length >= 256) return "Hostnames must be less than 256 characters";
  return /^[A-Za-z0-9.-]*$/.test(name) ? null : "Hostnames may only contain alphanumeric characters, hyphens or dots";
}

export function announcedNodename(name: string): string | null {
  // Redis cluster.c isValidAuxChar: what nodes.conf and its readers could take for their own marks.
  return /[!#$%&()*+:;<>?@[\]^{|}~]/.test(name) ? "Announced human node name contained invalid character" : null;
}

export function procTitleTemplate(template: string): string | null {
  const text = expandTemplate(template, (name) => (PROC_TITLE_VARIABLES.includes(name) ? (name === "title" ? "" : "x") : null));
  return text === null || text.trim() === "" ? "template format is invalid or contains unknown variables" : null;
}

const PROC_TITLE_VARIABLES = ["title", "listen-addr", "server-mode", "config-file", "port", "tls-port", "unixsocket"];

/** `{name}` replaced by what `valueOf` says, `{{` by a brace; null for an unknown name or an open brace (Redis sds.c: sdstemplate). */
export function expandTemplate(template: string, valueOf: (name: string) => string | null): string | null {
  let out = "";
  let at = 0;
  for (;;) {
    const open = template.indexOf("{", at);
    if (open < 0) return out + template.slice(at);
    out += template.slice(at, open);
    if (template[open + 1] === "{") {
      out += "{";
      at = open + 2;
      continue;
    }
    const close = template.indexOf("}", open + 1);
    if (close < 0) return null;
    const value = valueOf(template.slice(open + 1, close));
    if (value === null) return null;
    out += value;
    at = close + 1;
  }
}
