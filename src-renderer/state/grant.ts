/** How views hand a chosen file to the server; the way it goes belongs to the client room. */
export { grantFor } from '../client/upload.ts';
