/** What a server's agent answers (HAProxy configuration 5.2 "agent-check"): one line of words, read. Pure. */
export interface AgentReply {
  /** up, down, stopped or fail: the service's own state; null: not said. */
  health: "up" | "down" | "stopped" | "fail" | null;
  admin: "ready" | "drain" | "maint" | null;
  /** Of the configured weight; null: not said. */
  weightPercent: number | null;
  maxconn: number | null;
  /** What follows a `#`. */
  description: string;
  /** The whole line could be understood. */
  good: boolean;
}

/** Words are separated by blanks, tabs or commas; a `#` begins a description; case does not count. */
export function readAgentReply(line: string): AgentReply {
  const reply: AgentReply = { health: null, admin: null, weightPercent: null, maxconn: null, description: "", good: true };
  const hash = line.indexOf("#");
  if (hash >= 0) reply.description = line.slice(hash + 1).trim();
  for (const word of (hash < 0 ? line : line.slice(0, hash)).toLowerCase().split(/[ \t,]+/)) {
    const percent = /^(\d+)%$/.exec(word);
    const maxconn = /^maxconn:(\d+)$/.exec(word);
    if (word === "") continue;
    if (percent !== null) reply.weightPercent = Number(percent[1]);
    else if (maxconn !== null) reply.maxconn = Number(maxconn[1]);
    else if (word === "up" || word === "down" || word === "stopped" || word === "fail") reply.health = word;
    else if (word === "failed") reply.health = "fail";
    else if (word === "ready" || word === "drain" || word === "maint") reply.admin = word;
    else reply.good = false;
  }
  return reply;
}
