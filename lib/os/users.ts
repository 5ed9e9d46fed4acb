/** Names of users and groups as /etc/passwd and /etc/group have them, and the way from root to one of them. Cold. */
import { readFileSync } from "node:fs";

function idOf(file: string, name: string): number | null {
  if (/^\d+$/.test(name)) return Number(name);
  try {
    for (const line of readFileSync(file, "latin1").split("\n")) {
      const fields = line.split(":");
      if (fields[0] === name) return Number(fields[2]);
    }
  } catch {
    // no such file: no such name
  }
  return null;
}
export function userId(name: string): number | null {
  return idOf("/etc/passwd", name);
}
export function groupId(name: string): number | null {
  return idOf("/etc/group", name);
}

/** Goes on as that user and group ("" leaves one as it is), for good. An error text when the system refuses. */
export function becomeUser(user: string, group: string): string | null {
  const gid = group === "" ? null : groupId(group);
  const uid = user === "" ? null : userId(user);
  if (gid !== null && gid !== process.getgid!()) {
    try {
      process.setgroups!([]);
      process.setgid!(gid);
    } catch {
      return `Cannot set gid ${gid}.`;
    }
  }
  if (uid !== null && uid !== process.getuid!()) {
    try {
      process.setuid!(uid);
    } catch {
      return `Cannot set uid ${uid}.`;
    }
  }
  return null;
}
