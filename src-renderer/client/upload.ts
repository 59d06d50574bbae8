/**
 * Hands a dropped or chosen file to the server and returns the grant by which a call can name it.
 * In Electron the file stays where it is; from a browser its bytes are uploaded first.
 */
import { electronBridge } from './electron.ts';

export async function grantFor(
  file: File,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<string> {
  const bridge = electronBridge();
  if (bridge) return await bridge.pathFor(file);
  return upload(file, onProgress, signal);
}

function upload(
  file: File,
  onProgress: (fraction: number) => void,
  signal: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    // XMLHttpRequest and not fetch: only this one reports how far an upload is.
    request.open('PUT', `upload?name=${encodeURIComponent(file.name)}`);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onerror = () => reject(new Error('The file could not be sent to the server.'));
    request.onabort = () => reject(new Error('Cancelled.'));
    request.onload = () => {
      const grant = grantIn(request.responseText);
      if (request.status < 300 && grant) resolve(grant);
      else reject(new Error(sentenceIn(request.responseText)));
    };
    signal.addEventListener('abort', () => request.abort(), { once: true });
    request.send(file);
  });
}

function grantIn(text: string): string | undefined {
  const answer = parsed(text);
  return typeof answer.grant === 'string' ? answer.grant : undefined;
}

function sentenceIn(text: string): string {
  const { error } = parsed(text);
  const said = typeof error === 'object' && error !== null ? Object.entries(error) : [];
  for (const [name, value] of said) if (name === 'message') return String(value);
  return 'The server did not take the file.';
}

function parsed(text: string): Record<string, unknown> {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null ? (answer as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
