import pg from 'pg'
import { QuickStartSVID } from 'authsec-sdk'

const svid = await QuickStartSVID.initialize()
const pool = new pg.Pool({
  host: process.env.PGHOST ?? 'localhost',
  port: Number(process.env.PGPORT ?? 5432),
  user: process.env.PGUSER ?? 'postgres',
  database: process.env.PGDATABASE ?? 'postgres',
  // Each new connection presents the newest SVID, and the server has to prove who it is.
  ssl: svid.createTlsOptionsForClient({ authorize: 'spiffe://example.org/database' }),
  // Connections keep the SVID that they began with: let them go after a while.
  maxLifetimeSeconds: 3_600,
})

const { rows } = await pool.query('select 40 + 2 as answer')
console.log(rows[0])
await pool.end()
