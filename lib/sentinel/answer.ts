/** The engine's answers as RESP. COLD. */
import type { Out } from "../resp/out.ts";
import type { Answer } from "./core/types.ts";

export function writeAnswer(out: Out, answer: Answer): void {
  if (answer === null) out.nil();
  else if (typeof answer === "string") out.bulkText(answer);
  else if (typeof answer === "number") out.int(answer);
  else if (Array.isArray(answer)) writeAll(out, answer);
  else if ("status" in answer) out.status(answer.status);
  else if ("error" in answer) out.errorText(answer.error);
  else if ("map" in answer) {
    out.map(answer.map.length / 2);
    for (const item of answer.map) writeAnswer(out, item);
  } else out.nilArray();
}

function writeAll(out: Out, items: Answer[]): void {
  out.array(items.length);
  for (const item of items) writeAnswer(out, item);
}
