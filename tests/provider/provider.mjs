// A real OpenID provider for the tests: node provider.mjs PORT REDIRECT_URI...
// Whoever types a name and any password at it has that name.
import { Provider } from "oidc-provider";

const [port, ...redirects] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "amrgate",
      client_secret: "the secret that acme's provider gave us",
      redirect_uris: redirects,
    },
  ],
  claims: { openid: ["sub", "auth_time", "amr"] },
  cookies: { keys: ["a key of the tests"] },
  findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
