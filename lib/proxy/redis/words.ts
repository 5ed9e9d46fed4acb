/** Arguments of a request as latin1 strings. COLD. */
import type { Request } from "../../resp/request.ts";

export function word(request: Request, i: number): string {
  return request.buf.toString("latin1", request.at[2 * i], request.at[2 * i + 1]);
}
export function words(request: Request): string[] {
  return Array.from({ length: request.argc }, (_, i) => word(request, i));
}
