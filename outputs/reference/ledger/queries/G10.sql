-- analysis.open_study("outputs/ledger").sql(…)
SELECT subject, quantity, repeat, value, unit
FROM measurements
WHERE task = 'backprop_cost'
ORDER BY subject, quantity, repeat;
