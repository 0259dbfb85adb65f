// Speaks to the API as every other client does; the browser's cookie says who asks.

export class Refused extends Error {
  constructor(status, body) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    this.issues = body.errors || [];
  }
}

/** The decoded answer, or null where there is none. Throws Refused, or TypeError when the server cannot be reached. */
export async function call(method, path, body) {
  const answer = await fetch(`/api${path}`, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401 && !path.startsWith("/auth/")) {
    location.assign(`/auth/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  const text = await answer.text();
  const read = text && (answer.headers.get("content-type") || "").includes("json") ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, read || {});
  return read;
}

/** What a person reads of an error. */
export function wordsOf(error) {
  if (error instanceof TypeError) return "The server cannot be reached. Is it running?";
  const issues = (error.issues || []).map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  return [error.message, ...issues].join(" · ");
}
