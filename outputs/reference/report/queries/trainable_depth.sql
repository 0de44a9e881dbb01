-- analysis.open_study("outputs/reference").sql(…)
SELECT *
FROM networks
WHERE training = 1
ORDER BY cell;
